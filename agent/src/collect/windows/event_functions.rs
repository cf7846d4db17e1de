//! The functions of wevtapi.dll, each with its error: what is not zero is not yet success, and what failed may say error 0.
//!
//! <https://learn.microsoft.com/windows/win32/api/winevt/>
#![expect(unsafe_code, reason = "the event log is read through functions that are looked up by name")]

use std::ffi::c_void;
use std::mem::transmute;

use windows::Win32::Foundation::{
    ERROR_INSUFFICIENT_BUFFER, ERROR_NO_MORE_ITEMS, ERROR_TIMEOUT, GetLastError, HANDLE, WIN32_ERROR,
};
use windows::core::{BOOL, HSTRING, PCWSTR};

use super::platform::{Library, is_wine};
use crate::collect::reading::Unreadable;

/// `EvtRenderEventXml` and `EvtRenderBookmark`.
const EVENT_XML: u32 = 1;
const BOOKMARK: u32 = 2;
/// `EvtSubscribeStartAtOldestRecord`, `…StartAfterBookmark`, `…TolerateQueryErrors` and `…Strict`: with the last one, a
/// bookmark that the log does not hold any longer is an error instead of silence.
const START_AT_OLDEST: u32 = 2;
const START_AFTER_BOOKMARK: u32 = 3;
const TOLERATE_QUERY_ERRORS: u32 = 0x1000;
const STRICT: u32 = 0x1_0000;

/// What an entry may have at most, in bytes: data of an event are limited to 64 KiB.
const LARGEST: u32 = 1024 * 1024;
/// Entries that are fetched at once.
const BATCH: usize = 64;
/// Entries that are there are returned at once.
const PATIENCE: u32 = 1000;

type Subscribe =
    unsafe extern "system" fn(isize, HANDLE, PCWSTR, PCWSTR, isize, *const c_void, *const c_void, u32) -> isize;
type Next = unsafe extern "system" fn(isize, u32, *mut isize, u32, u32, *mut u32) -> BOOL;
type Render = unsafe extern "system" fn(isize, isize, u32, u32, *mut c_void, *mut u32, *mut u32) -> BOOL;
type CreateBookmark = unsafe extern "system" fn(PCWSTR) -> isize;
type UpdateBookmark = unsafe extern "system" fn(isize, isize) -> BOOL;
type Close = unsafe extern "system" fn(isize) -> BOOL;

#[derive(Clone, Copy, Debug)]
pub(super) struct EventFunctions {
    subscribe: Subscribe,
    next: Next,
    render: Render,
    create_bookmark: CreateBookmark,
    update_bookmark: UpdateBookmark,
    close: Close,
}

/// A function that failed, and the error that it left behind.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{function} failed with error {}", .error.0)]
pub(super) struct EventFault {
    function: &'static str,
    pub(super) error: WIN32_ERROR,
}

/// An object of the event log, until it is dropped.
#[derive(Debug)]
pub(super) struct Object {
    handle: isize,
    close: Close,
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the handle is open and ours alone.
        let _ = unsafe { (self.close)(self.handle) };
    }
}

impl EventFunctions {
    pub(super) fn load() -> Result<Self, Unreadable> {
        if is_wine() {
            return Err(Unreadable::new("the event log is not available: this is Wine, which has none"));
        }
        let library = Library::load("wevtapi.dll")?;
        // SAFETY: each function has the form that the documentation gives it.
        unsafe {
            Ok(Self {
                subscribe: transmute::<super::platform::Function, Subscribe>(library.function(c"EvtSubscribe")?),
                next: transmute::<super::platform::Function, Next>(library.function(c"EvtNext")?),
                render: transmute::<super::platform::Function, Render>(library.function(c"EvtRender")?),
                create_bookmark: transmute::<super::platform::Function, CreateBookmark>(
                    library.function(c"EvtCreateBookmark")?,
                ),
                update_bookmark: transmute::<super::platform::Function, UpdateBookmark>(
                    library.function(c"EvtUpdateBookmark")?,
                ),
                close: transmute::<super::platform::Function, Close>(library.function(c"EvtClose")?),
            })
        }
    }

    /// All that `query` wants, from after `bookmark` or from the oldest on. `signal` is set when there is something to fetch.
    pub(super) fn subscribe(
        &self,
        signal: HANDLE,
        query: &str,
        bookmark: Option<&Object>,
    ) -> Result<Object, EventFault> {
        let query = HSTRING::from(query);
        let start = if bookmark.is_some() { START_AFTER_BOOKMARK | STRICT } else { START_AT_OLDEST };
        let (bookmark, nothing) = (bookmark.map_or(0, |bookmark| bookmark.handle), std::ptr::null());
        let flags = start | TOLERATE_QUERY_ERRORS;
        // SAFETY: the query is a string that ends with U+0000, the handles are open, and there is no callback.
        let handle = unsafe {
            (self.subscribe)(0, signal, PCWSTR::null(), PCWSTR(query.as_ptr()), bookmark, nothing, nothing, flags)
        };
        self.object("EvtSubscribe", handle)
    }

    /// The next entries; none: there are no more now.
    pub(super) fn next(&self, subscription: &Object) -> Result<Vec<Object>, EventFault> {
        let mut handles = [0_isize; BATCH];
        let mut returned = 0;
        // SAFETY: the buffer holds `BATCH` handles.
        let is_there = unsafe {
            let length = u32::try_from(BATCH).unwrap_or(1);
            (self.next)(subscription.handle, length, handles.as_mut_ptr(), PATIENCE, 0, &raw mut returned)
        };
        if !is_there.as_bool() {
            let fault = fault("EvtNext");
            return match fault.error {
                ERROR_NO_MORE_ITEMS | ERROR_TIMEOUT => Ok(Vec::new()),
                _ => Err(fault),
            };
        }
        let returned = usize::try_from(returned).unwrap_or(BATCH).min(BATCH);
        Ok(handles[..returned].iter().map(|handle| Object { handle: *handle, close: self.close }).collect())
    }

    /// `None` of a bookmark: a new one.
    pub(super) fn bookmark(&self, xml: Option<&str>) -> Result<Object, EventFault> {
        let xml = xml.map(HSTRING::from);
        // SAFETY: the text ends with U+0000, or is not there.
        let handle = unsafe { (self.create_bookmark)(xml.as_ref().map_or(PCWSTR::null(), |xml| PCWSTR(xml.as_ptr()))) };
        self.object("EvtCreateBookmark", handle)
    }

    pub(super) fn move_bookmark(&self, bookmark: &Object, to: &Object) -> Result<(), EventFault> {
        // SAFETY: both are open.
        let is_moved = unsafe { (self.update_bookmark)(bookmark.handle, to.handle) };
        if is_moved.as_bool() { Ok(()) } else { Err(fault("EvtUpdateBookmark")) }
    }

    /// The XML of an entry. `buffer` grows as needed and is kept between calls.
    pub(super) fn xml(&self, entry: &Object, buffer: &mut Vec<u16>) -> Result<String, EventFault> {
        self.render(entry, EVENT_XML, buffer)
    }

    pub(super) fn bookmark_xml(&self, bookmark: &Object, buffer: &mut Vec<u16>) -> Result<String, EventFault> {
        self.render(bookmark, BOOKMARK, buffer)
    }

    fn render(&self, object: &Object, form: u32, buffer: &mut Vec<u16>) -> Result<String, EventFault> {
        loop {
            let size = u32::try_from(size_of_val(buffer.as_slice())).unwrap_or(0);
            let (mut used, mut properties) = (0, 0);
            let target = buffer.as_mut_ptr().cast();
            // SAFETY: the buffer is writable for `size` bytes.
            let is_rendered =
                unsafe { (self.render)(0, object.handle, form, size, target, &raw mut used, &raw mut properties) };
            if is_rendered.as_bool() {
                let length = usize::try_from(used).unwrap_or(0) / 2;
                let text = buffer.get(..length).unwrap_or_default();
                let end = text.iter().position(|unit| *unit == 0).unwrap_or(text.len());
                return Ok(String::from_utf16_lossy(&text[..end]));
            }
            let fault = fault("EvtRender");
            if fault.error != ERROR_INSUFFICIENT_BUFFER || !(size + 1..=LARGEST).contains(&used) {
                return Err(fault);
            }
            buffer.resize(usize::try_from(used).unwrap_or(0).div_ceil(2), 0);
        }
    }

    fn object(&self, function: &'static str, handle: isize) -> Result<Object, EventFault> {
        if handle == 0 { Err(fault(function)) } else { Ok(Object { handle, close: self.close }) }
    }
}

fn fault(function: &'static str) -> EventFault {
    // SAFETY: takes nothing.
    EventFault { function, error: unsafe { GetLastError() } }
}
