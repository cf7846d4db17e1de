//! The texts of rows, for whoever holds many hosts and keeps each text once. Where a text is one host's own, as the values of
//! an event are, it is left out.

use crate::delta::{Change, Delta, Row};
use crate::facts::{Event, Facts, Section, Service, Socket, Update};
use crate::text::Text;

/// What has texts that other hosts say too.
pub trait Texts {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text));
}

impl Texts for Text {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text)) {
        with(self);
    }
}

impl<T: Texts> Texts for Option<T> {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text)) {
        if let Some(value) = self {
            value.each_text(with);
        }
    }
}

impl<T: Texts> Texts for Vec<T> {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text)) {
        for value in self {
            value.each_text(with);
        }
    }
}

impl<T: Texts> Texts for Section<T> {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text)) {
        match self {
            Self::Known(value) => value.each_text(with),
            Self::Unknown(reason) => with(reason),
        }
    }
}

impl<T: Texts + Row> Texts for Change<T> {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text)) {
        match self {
            Self::Full(section) => section.each_text(with),
            Self::Rows { set, .. } => set.each_text(with),
        }
    }
}

impl Texts for Socket {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text)) {
        self.image.each_text(with);
        self.services.each_text(with);
    }
}

impl Texts for Service {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text)) {
        self.name.each_text(with);
        self.display_name.each_text(with);
        self.image_path.each_text(with);
        self.account.each_text(with);
        self.depends_on.each_text(with);
    }
}

impl Texts for Update {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text)) {
        self.id.each_text(with);
        self.kb.each_text(with);
        self.aliases.each_text(with);
        self.title.each_text(with);
        self.installed_by.each_text(with);
        self.version.each_text(with);
    }
}

impl Texts for Event {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text)) {
        self.log.each_text(with);
        self.provider.each_text(with);
        self.service.each_text(with);
        for datum in &mut self.data {
            datum.name.each_text(with);
        }
    }
}

impl Texts for Facts {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text)) {
        self.sockets.each_text(with);
        self.services.each_text(with);
        self.updates.each_text(with);
        self.events.each_text(with);
    }
}

impl Texts for Delta {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text)) {
        self.sockets.each_text(with);
        self.services.each_text(with);
        self.updates.each_text(with);
        self.events.each_text(with);
    }
}
