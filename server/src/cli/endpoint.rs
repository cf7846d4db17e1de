//! `endpoint create`.

use clap::{Subcommand, ValueEnum};
use ipnet::IpNet;
use rules::finding::Severity;

use crate::{
    alerts::{
        EndpointFault, NewEndpoint, Silence,
        egress::{Egress, EgressFault},
        endpoint,
    },
    cli::{
        Refusal,
        open::Opened,
        output::{Format, name},
    },
    clock,
    config::Place,
};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Adds a receiver of webhooks and prints its id and, this once, its signing secret.
    Create {
        #[arg(long, value_parser = name)]
        name: String,
        /// Such as https://tickets.example/hooks/portreeve.
        #[arg(long)]
        url: String,
        /// Only findings of the client with this id; without it, of all.
        #[arg(long)]
        client: Option<i32>,
        /// Findings below it are not sent.
        #[arg(long, default_value = "info")]
        min_severity: MinSeverity,
        /// Tells it also of hosts that were not heard of for 15 minutes, and of those that are heard of again.
        #[arg(long)]
        tells_silence: bool,
        /// As `run` has it: private networks to which webhooks may be sent.
        #[arg(long, env = "PORTREEVE_EGRESS_ALLOW", value_delimiter = ',')]
        egress_allow: Vec<IpNet>,
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum MinSeverity {
    Info,
    Warning,
    Critical,
}

impl From<MinSeverity> for Severity {
    fn from(severity: MinSeverity) -> Self {
        match severity {
            MinSeverity::Info => Self::Info,
            MinSeverity::Warning => Self::Warning,
            MinSeverity::Critical => Self::Critical,
        }
    }
}

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    let Action::Create { name, url, client, min_severity, tells_silence, egress_allow, format } = action;
    let silence = if tells_silence { Silence::Told } else { Silence::Kept };
    let egress = Egress::new(&egress_allow)?;
    let new = NewEndpoint { name, url, client_id: client, min_severity: min_severity.into(), silence };
    let opened = Opened::open(&place).await?;
    let created = match opened.sealer().await {
        Ok(sealer) => endpoint::create(&opened.db, &sealer, &egress, &new, clock::now()).await.map_err(refusal),
        Err(error) => Err(error),
    };
    opened.close().await?;
    let created = created?;
    format.print(&[("endpoint_id", created.endpoint_id.to_string().into()), ("secret", created.secret.into())])
}

fn refusal(fault: EndpointFault) -> anyhow::Error {
    match fault {
        EndpointFault::NoSuchClient(_) => Refusal::NotFound(fault.to_string()).into(),
        EndpointFault::Egress(EgressFault::Refused(_)) => Refusal::NotAllowed(fault.to_string()).into(),
        EndpointFault::Egress(_) | EndpointFault::BadName | EndpointFault::LongUrl => {
            Refusal::BadInput(fault.to_string()).into()
        }
        EndpointFault::NameTaken(_) | EndpointFault::Database(_) => fault.into(),
    }
}
