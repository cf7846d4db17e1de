//! One stream of one agent, from its opening to its end, and what ends it.
//!
//! Invariant: whatever ends the stream (a fault of ours, of the agent or of the network), what is committed and not
//! acknowledged is acknowledged when it is repeated, and what is not committed is sent again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use prost::Message as _;
use proto::fleet::v1::agent_message::Kind as Said;
use proto::fleet::v1::server_message::Kind as Answer;
use proto::fleet::v1::{AgentMessage, Report, Revoked, ServerMessage};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};
use tracing::{info, warn};
use uuid::Uuid;

use crate::coded;
use crate::db::identity::CertifiedHost;
use crate::ingest::Ingest;
use crate::ingest::allowance::Allowance;
use crate::ingest::outgoing::{Gone, Outgoing};
use crate::ingest::skew::{Heard, Waiting};
use crate::ingest::talk::Talk;
use crate::listeners::{AgentPeer, agents};

/// An agent with nothing to say says so this often.
pub(super) const HEARTBEAT: Duration = Duration::from_mins(1);
/// An agent that is silent for this long is gone, whatever the network says.
pub(super) const SILENCE: Duration = Duration::from_mins(3);
/// How long an agent may take to say Hello.
const HELLO: Duration = Duration::from_secs(20);
/// A report of more bytes is a large one: only so many are taken in at once.
const LARGE: usize = 16 * 1024;
/// What a stream may say: so much at once, and then at a rate of 50 messages or 1 MiB a second. Who says more waits.
const REPORTS_BURST: Duration = Duration::from_secs(10);
const REPORT: Duration = Duration::from_millis(20);
const KIBIBYTE: Duration = Duration::from_micros(977);
/// What a report is answered with at most: an acknowledgement, a pace and a wish.
const ANSWERS: u32 = 3;
/// What is no report comes once a minute, or when it is asked for. An agent that says it twice a second, after so many at
/// once, is none of ours.
const SIGNS_BURST: Duration = Duration::from_mins(1);
const SIGN: Duration = Duration::from_millis(500);
/// How long the reason of an end may wait for an agent that does not read.
const FAREWELL: Duration = Duration::from_secs(5);

pub(super) type Clock = fn() -> DateTime<Utc>;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) ingest: Ingest,
    pub(super) host: CertifiedHost,
    pub(super) peer: AgentPeer,
    pub(super) clock: Clock,
}

pub(super) fn refused(kind: Code, code: &'static str, text: impl Into<String>) -> Status {
    metrics::counter!("portreeve_streams_refused_total", "code" => code).increment(1);
    coded::status(kind, code, text)
}

pub(super) fn store_unavailable(error: &sqlx::Error) -> Status {
    warn!(%error, "Ended a stream because the database did not answer; the agent will send again");
    refused(Code::Unavailable, "store.unavailable", "the database did not answer; nothing is lost, send again later")
}

pub(super) fn fenced() -> Status {
    refused(Code::Aborted, "stream.fenced", "a newer stream of this agent has taken over")
}

impl Session {
    pub(super) fn new(ingest: Ingest, host: CertifiedHost, peer: AgentPeer, clock: Clock) -> Self {
        Self { ingest, host, peer, clock }
    }

    /// Until the agent, the network or the server ends it. Borrows what it was given: an argument that is moved would be
    /// held twice.
    pub(super) async fn run(&self, incoming: &mut Streaming<AgentMessage>, outgoing: &Outgoing) {
        let session_id = Uuid::new_v4();
        let key = (self.host.client_id, self.host.host_id);
        // Cancelled when the server stops, when a newer stream takes over, here or elsewhere, or when the host leaves.
        let over = self.ingest.app.stopping.child_token();
        let end = tokio::select! {
            biased;
            () = self.ingest.app.identity.revocations.revoked(&self.peer.serial) => {
                // An agent that does not read must not hold up the end of its stream.
                outgoing.try_send(message(Answer::Revoked(Revoked {})));
                Err(agents::revoked())
            }
            () = over.cancelled() => Err(if self.ingest.app.stopping.is_cancelled() {
                let stopping = coded::status(Code::Unavailable, "server.stopping", "the server stops; come back soon");
                coded::retry_within(stopping, self.ingest.streams.spread())
            } else {
                fenced()
            }),
            end = self.converse(session_id, &over, incoming, outgoing) => end,
        };
        self.ingest.streams.leave(key, session_id);
        if let Err(status) = end {
            let code = coded::code_of(&status).unwrap_or("none").to_owned();
            info!(host.id = key.1, peer = %self.peer.address, code, "Ended a stream: {}", status.message());
            let _ = tokio::time::timeout(FAREWELL, outgoing.send(Err(status))).await;
        }
    }

    async fn converse(
        &self,
        session_id: Uuid,
        over: &CancellationToken,
        incoming: &mut Streaming<AgentMessage>,
        outgoing: &Outgoing,
    ) -> Result<(), Status> {
        // What is rare and large lies outside of what every idle stream holds.
        let mut talk = Box::pin(self.open(session_id, incoming, outgoing)).await?;
        // Only now: somebody who is denied disturbs nobody.
        self.ingest.streams.enter((self.host.client_id, self.host.host_id), session_id, over.clone());
        self.ingest.app.bus.opened((self.host.client_id, self.host.host_id));
        let ear = self.ingest.app.questions.listen((self.host.client_id, self.host.host_id));
        let opened_at = Instant::now();
        let mut free_at = opened_at;
        let mut waiting = Waiting::new(opened_at);
        // A stream does not outlive the identity it stands on.
        let expires_at = opened_at + (self.host.expires_at - (self.clock)()).to_std().unwrap_or_default();
        let mut reports = Reports { allowance: Allowance::new(opened_at), parts: None };
        let mut signs = Allowance::new(opened_at);
        loop {
            let said = tokio::select! {
                biased;
                said = tokio::time::timeout_at(expires_at.min(free_at + SILENCE), hear(incoming)) => match said {
                    Ok(Ok(Some(said))) => said,
                    Ok(Ok(None)) => return Ok(()),
                    Ok(Err(error)) => return Box::pin(talk.broken(error)).await,
                    Err(_) if Instant::now() >= expires_at => return Err(expired()),
                    Err(_) => return Err(silent()),
                },
                question = ear.hear() => {
                    talk.ask(question).await?;
                    waiting.listen(Instant::now());
                    continue;
                }
            };
            let said_at = Instant::now();
            let under_way = waiting.hear(said_at);
            if said_at >= expires_at {
                return Err(expired());
            }
            match said.kind {
                Some(Said::Report(report)) => {
                    Box::pin(self.report(&mut talk, &mut reports, report, outgoing)).await?;
                }
                _ if !signs.take(said_at, SIGN, SIGNS_BURST).is_zero() => {
                    let text = "more heartbeats and other messages came than any agent sends";
                    return Err(refused(Code::ResourceExhausted, "stream.too-many-messages", text));
                }
                Some(Said::Heartbeat(heartbeat)) => Box::pin(talk.heartbeat(heartbeat, under_way)).await?,
                Some(Said::ConnectionList(list)) => talk.answered(list),
                Some(Said::Hello(_)) => {
                    return Err(refused(Code::InvalidArgument, "stream.hello-repeated", "a stream has one Hello"));
                }
                // A kind of message of a newer agent: what it says is not for us.
                None => metrics::counter!("portreeve_messages_unknown_total").increment(1),
            }
            free_at = Instant::now();
            waiting.listen(free_at);
        }
    }

    /// From the Hello to the Welcome.
    async fn open<'a>(
        &'a self,
        session_id: Uuid,
        incoming: &mut Streaming<AgentMessage>,
        outgoing: &'a Outgoing,
    ) -> Result<Talk<'a>, Status> {
        let first = match tokio::time::timeout(HELLO, incoming.message()).await {
            Ok(first) => first.map_err(|error| undecodable(&error).unwrap_or(error))?,
            Err(_) => None,
        };
        let Some(AgentMessage { kind: Some(Said::Hello(hello)) }) = first else {
            return Err(refused(Code::InvalidArgument, "stream.hello-missing", "a stream begins with a Hello"));
        };
        let heard = Heard { at: (self.clock)(), under_way: self.peer.begun_at.elapsed() };
        let _place = self.ingest.admission.open().await?;
        // Whoever has no identity any more takes nothing over.
        if self.host.expires_at <= (self.clock)() {
            return Err(expired());
        }
        Talk::open(self, (hello, heard), session_id, outgoing).await
    }

    /// Whoever says more than its allowance waits, and so does a large report (or the last part of one) until it is its
    /// turn. Nothing is read of the stream meanwhile, so that the agent waits as well.
    async fn report<'a>(
        &'a self,
        talk: &mut Talk<'_>,
        reports: &mut Reports<'a>,
        report: Report,
        outgoing: &Outgoing,
    ) -> Result<(), Status> {
        let size = report.encoded_len();
        let kibibytes = u32::try_from(size / 1024).unwrap_or(u32::MAX);
        let wait = reports.allowance.take(Instant::now(), REPORT + KIBIBYTE * kibibytes, REPORTS_BURST);
        if !wait.is_zero() {
            metrics::counter!("portreeve_reports_slowed_total").increment(1);
            tokio::time::sleep(wait).await;
        }
        // One that does not read its answers is waited for here, where it keeps no place from others.
        match tokio::time::timeout(SILENCE, outgoing.has_room(ANSWERS)).await {
            Ok(room) => room.map_err(|Gone| Status::cancelled("the agent is gone"))?,
            Err(_) => return Err(silent()),
        }
        if report.part.saturating_add(1) < report.parts {
            reports.hold(self.ingest.admission.part(kibibytes).await?);
            return talk.report(report).await;
        }
        let is_large = report.parts > 1 || size > LARGE;
        let _place = if is_large { self.ingest.admission.large().await } else { None };
        let taken = talk.report(report).await;
        reports.parts = None;
        taken
    }
}

/// Boxed, so that a stream that waits has no room for the largest message.
async fn hear(incoming: &mut Streaming<AgentMessage>) -> Result<Option<Box<AgentMessage>>, Status> {
    Ok(incoming.message().await?.map(Box::new))
}

/// What a stream may say, and the room that parts of an unfinished report take.
#[derive(Debug)]
struct Reports<'a> {
    allowance: Allowance,
    parts: Option<SemaphorePermit<'a>>,
}

impl<'a> Reports<'a> {
    fn hold(&mut self, part: SemaphorePermit<'a>) {
        match &mut self.parts {
            Some(parts) => parts.merge(part),
            parts => *parts = Some(part),
        }
    }
}

fn expired() -> Status {
    let text = "the certificate of this stream has expired; renew it";
    refused(Code::Unauthenticated, "certificate.expired", text)
}

pub(super) fn silent() -> Status {
    refused(Code::DeadlineExceeded, "stream.silent", "nothing was heard for longer than three heartbeats")
}

pub(super) fn message(answer: Answer) -> ServerMessage {
    ServerMessage { kind: Some(answer) }
}

/// The refusal of a message that tonic could not decode. `None`: the connection broke, nothing was wrong with a message.
pub(super) fn undecodable(error: &Status) -> Option<Status> {
    if error.code() == Code::OutOfRange {
        return Some(refused(Code::ResourceExhausted, "report.too-large", "a message is larger than 256 KiB"));
    }
    // The text is prost's; a broken connection has the same code and another text.
    let is_prost = error.code() == Code::Internal && error.message().starts_with("failed to decode Protobuf message");
    is_prost.then(|| refused(Code::InvalidArgument, "report.malformed", "a message could not be decoded"))
}

#[cfg(test)]
mod tests {
    use super::Session;

    /// The task of a stream is held as long as the stream is open, ten thousand times.
    #[test]
    fn an_idle_stream_is_small() {
        fn size<'a, A, B, C, F>(_: fn(&'a A, &'a mut B, &'a C) -> F) -> usize {
            size_of::<F>() + size_of::<A>() + size_of::<B>() + size_of::<C>()
        }
        let bytes = size(Session::run);
        assert!(bytes <= 1_850, "{bytes} bytes");
    }
}
