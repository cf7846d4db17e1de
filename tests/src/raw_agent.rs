//! An agent by hand: says exactly what a test tells it to, also what no agent would, over the real connection.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use portreeve_server::coded;
use prost::Message as _;
use proto::Digests;
use proto::fleet::v1::server_message::Kind;
use proto::fleet::v1::{Ack, Heartbeat, Hello, Outcome, Report as Part, Section, ServerMessage, Welcome};
use proto::wire::{Report, digests_to_wire, to_report_parts};
use rules::delta::Delta;
use rules::facts::Facts;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming, client::Grpc};
use tonic_prost::ProstCodec;
use uuid::Uuid;

use crate::doors::{Credentials, Doors};

const PATIENCE: Duration = Duration::from_secs(30);

/// `AgentMessage` with the bytes of its members, which need not be what they should be.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawMessage {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub hello: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub report: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub heartbeat: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub connection_list: Option<Vec<u8>>,
    /// Of no agent that there is yet.
    #[prost(bytes = "vec", optional, tag = "99")]
    pub unknown: Option<Vec<u8>>,
}

#[derive(Debug)]
pub struct RawAgent {
    outgoing: mpsc::Sender<RawMessage>,
    incoming: Streaming<ServerMessage>,
    pub welcome: Welcome,
}

/// A Hello of the stream with this number, by a clock that is right.
pub fn hello(stream: u128) -> Hello {
    Hello {
        stream_id: Uuid::from_u128(stream).as_bytes().to_vec(),
        boot_id: vec![1; 16],
        wall_clock_ms: portreeve_server::clock::now().timestamp_millis(),
        uptime_ms: 1_000_000,
        agent_version: "0.0.1".to_owned(),
        ..Hello::default()
    }
}

/// All of `facts`, with the digests that an agent would send.
pub fn full(seq: u64, facts: &Facts) -> Report {
    let facts = proto::wire::canonical(facts);
    let delta = proto::wire::full_delta(&facts);
    Report { seq, delta, digests: proto::digests(&facts), ..Report::default() }
}

/// What leads from `before` to `after`.
pub fn changes(seq: u64, before: &Facts, after: &Facts) -> Report {
    let (before, after) = (proto::wire::canonical(before), proto::wire::canonical(after));
    let delta = rules::delta::diff(&before, &after);
    let digests = sections_of(&delta).map(|section| (section, proto::digest(section, &after))).collect();
    Report { seq, delta, digests, ..Report::default() }
}

fn sections_of(delta: &Delta) -> impl Iterator<Item = Section> + use<> {
    [
        (Section::Host, delta.host.is_some()),
        (Section::Sockets, delta.sockets.is_some()),
        (Section::Services, delta.services.is_some()),
        (Section::Updates, delta.updates.is_some()),
        (Section::PortPolicy, delta.port_policy.is_some()),
        (Section::Events, delta.events.is_some()),
        (Section::Connections, delta.connections.is_some()),
    ]
    .into_iter()
    .filter_map(|(section, is_there)| is_there.then_some(section))
}

impl RawAgent {
    /// Connects and says Hello.
    pub async fn connect(doors: &Doors, credentials: &Credentials, hello: &Hello) -> Result<Self> {
        let first = RawMessage { hello: Some(hello.encode_to_vec()), ..RawMessage::default() };
        let (outgoing, mut incoming) = open(doors, credentials, first).await?;
        match next(&mut incoming).await? {
            Kind::Welcome(welcome) => Ok(Self { outgoing, incoming, welcome }),
            other => bail!("expected a Welcome, got {other:?}"),
        }
    }

    /// The code with which a stream that begins like this is refused.
    pub async fn refusal(doors: &Doors, credentials: &Credentials, first: RawMessage) -> Result<String> {
        let (_outgoing, mut incoming) = match open(doors, credentials, first).await {
            Ok(opened) => opened,
            Err(error) => return code(&error.downcast::<Status>()?),
        };
        loop {
            match tokio::time::timeout(PATIENCE, incoming.message()).await? {
                Ok(Some(_)) => {}
                Ok(None) => bail!("the stream ended without a refusal"),
                Err(status) => return code(&status),
            }
        }
    }

    pub async fn say(&self, message: RawMessage) -> Result<()> {
        Ok(self.outgoing.send(message).await?)
    }

    pub async fn say_part(&self, part: &Part) -> Result<()> {
        self.say(RawMessage { report: Some(part.encode_to_vec()), ..RawMessage::default() }).await
    }

    pub async fn say_heartbeat(&self, seq: u64, digests: &Digests) -> Result<()> {
        let heartbeat = Heartbeat {
            wall_clock_ms: portreeve_server::clock::now().timestamp_millis(),
            digests: digests_to_wire(digests),
            seq,
        };
        self.say(RawMessage { heartbeat: Some(heartbeat.encode_to_vec()), ..RawMessage::default() }).await
    }

    pub async fn say_report(&self, report: &Report) -> Result<()> {
        for part in to_report_parts(report)? {
            self.say_part(&part).await?;
        }
        Ok(())
    }

    /// Sends and waits for the acknowledgement.
    pub async fn report(&mut self, report: &Report) -> Result<Outcome> {
        self.say_report(report).await?;
        self.acknowledged(report.seq).await
    }

    pub async fn acknowledged(&mut self, seq: u64) -> Result<Outcome> {
        match self.next().await? {
            Kind::Ack(Ack { seq: acknowledged, outcome }) if acknowledged == seq => Ok(Outcome::try_from(outcome)?),
            other => bail!("expected an Ack of {seq}, got {other:?}"),
        }
    }

    /// The sections that the server wants whole.
    pub async fn asked_for(&mut self) -> Result<Vec<Section>> {
        match self.next().await? {
            Kind::SendFull(wanted) => Ok(wanted.sections().collect()),
            other => bail!("expected a SendFull, got {other:?}"),
        }
    }

    /// The next thing that the server says.
    pub async fn next(&mut self) -> Result<Kind> {
        next(&mut self.incoming).await
    }

    /// Waits for the server to end the stream, whatever it says before; returns the code.
    pub async fn ended(mut self) -> Result<String> {
        loop {
            match tokio::time::timeout(PATIENCE, self.incoming.message()).await? {
                Ok(Some(_)) => {}
                Ok(None) => bail!("the stream ended without a code"),
                Err(status) => return code(&status),
            }
        }
    }
}

async fn open(
    doors: &Doors,
    credentials: &Credentials,
    first: RawMessage,
) -> Result<(mpsc::Sender<RawMessage>, Streaming<ServerMessage>)> {
    let mut grpc = Grpc::new(doors.fleet_connection(credentials).await?);
    grpc.ready().await?;
    let (outgoing, messages) = mpsc::channel(64);
    outgoing.send(first).await?;
    let path = http::uri::PathAndQuery::from_static("/fleet.v1.Fleet/Stream");
    let request = Request::new(ReceiverStream::new(messages));
    let codec: ProstCodec<RawMessage, ServerMessage> = ProstCodec::default();
    let response = tokio::time::timeout(PATIENCE, grpc.streaming(request, path, codec)).await??;
    Ok((outgoing, response.into_inner()))
}

async fn next(incoming: &mut Streaming<ServerMessage>) -> Result<Kind> {
    let message = tokio::time::timeout(PATIENCE, incoming.message()).await.context("the server says nothing")??;
    message.and_then(|message| message.kind).context("the server ended the stream")
}

fn code(status: &Status) -> Result<String> {
    Ok(coded::code_of(status).with_context(|| format!("{status:?} carries no code"))?.to_owned())
}
