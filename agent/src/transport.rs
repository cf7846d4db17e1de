//! The wire itself: TLS connections, and one gRPC stream at a time. The only user of tonic besides `enroll`.
//!
//! A connection is made once and never again behind our back: when it ends, the stream hears of it and decides.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use hyper_util::rt::TokioIo;
use proto::fleet::v1::fleet_client::FleetClient;
use proto::fleet::v1::{AgentMessage, server_message};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::service_fn;

use crate::identity::{Identity, Server};
use crate::stream::Ending;
use crate::tls::{self, Listener};

/// Until TCP, TLS and HTTP/2 stand.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_mins(1);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(20);
/// What the server may send ahead: it says little.
const WINDOW: u32 = 64 * 1024;

/// What happens to a link.
#[derive(Debug)]
pub(crate) enum Event {
    Connected,
    Message(server_message::Kind),
    /// The last event.
    Ended(Ending, String),
}

/// One attempt at one stream. Dropping it ends the stream.
#[derive(Debug)]
pub(crate) struct Link {
    events: mpsc::Receiver<Event>,
    /// Not bounded: what waits here waits in the stream's queue as well, which is. A bounded channel could block us
    /// while the server waits for us to read.
    outgoing: mpsc::UnboundedSender<AgentMessage>,
    task: tokio::task::JoinHandle<()>,
}

impl Link {
    pub(crate) fn open(identity: Arc<Identity>) -> Self {
        let (sender, events) = mpsc::channel(16);
        let (outgoing, messages) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let (ending, reason) = converse(&identity, messages, &sender).await;
            // Nobody listens any more: nobody cares.
            drop(sender.send(Event::Ended(ending, reason)).await);
        });
        Self { events, outgoing, task }
    }

    /// `None` after [`Event::Ended`].
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Sends on this link from elsewhere, until it ends.
    pub(crate) fn outgoing(&self) -> mpsc::UnboundedSender<AgentMessage> {
        self.outgoing.clone()
    }

    /// What is sent on a link that has ended is lost; its end is under way as an event.
    pub(crate) fn send(&self, message: AgentMessage) {
        drop(self.outgoing.send(message));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How the stream ended, and why, for the log.
async fn converse(
    identity: &Identity,
    messages: mpsc::UnboundedReceiver<AgentMessage>,
    events: &mpsc::Sender<Event>,
) -> (Ending, String) {
    let opened = async { open(&identity.server, Listener::Agents, tls::mutual(identity)?).await };
    let (channel, fault) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return (Ending::Lost, format!("{error:#}")),
    };
    let mut client = FleetClient::new(channel);
    // The server answers the call only after the Hello, so the stream counts as open from here.
    if events.send(Event::Connected).await.is_err() {
        return (Ending::Lost, String::new());
    }
    let mut incoming = match client.stream(UnboundedReceiverStream::new(messages)).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return refused(&status, &fault),
    };
    loop {
        match incoming.next().await {
            Some(Ok(message)) => {
                // A kind of message that this version does not know.
                let Some(kind) = message.kind else { continue };
                if events.send(Event::Message(kind)).await.is_err() {
                    return (Ending::Lost, String::new());
                }
            }
            Some(Err(status)) => return refused(&status, &fault),
            None => return (Ending::Lost, "the server ended the stream".to_owned()),
        }
    }
}

/// Only the numbers of a status decide. At the door for streams, `PermissionDenied` says one thing: revoked; `DataLoss`
/// that our state is an old one, and `AlreadyExists` that another machine has our identity.
fn refused(status: &Status, fault: &tls::Fault) -> (Ending, String) {
    if let Some(fault) = fault.get() {
        let ending = if tls::says_expired(fault) { Ending::Expired } else { Ending::Lost };
        return (ending, tls::explain(fault).unwrap_or_default());
    }
    let ending = match status.code() {
        Code::Unavailable | Code::ResourceExhausted if let Some(within) = retry_within(status) => Ending::Later(within),
        Code::ResourceExhausted => Ending::Overloaded,
        Code::PermissionDenied => Ending::Revoked,
        Code::DataLoss => Ending::Restored,
        Code::AlreadyExists => Ending::Denied,
        _ => Ending::Lost,
    };
    (ending, format!("{:#}", describe(status)))
}

/// Within which time the server wants us back. A number, so that it may be acted on.
fn retry_within(status: &Status) -> Option<Duration> {
    let milliseconds = status.metadata().get("portreeve-retry-within-ms")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(milliseconds))
}

/// The stable code in the trailer, for people. `none`: the status comes from the network, not from our server.
pub(crate) fn code_of(status: &Status) -> String {
    let code = status.metadata().get("portreeve-code").and_then(|code| code.to_str().ok());
    code.unwrap_or("none").to_owned()
}

pub(crate) fn describe(status: &Status) -> anyhow::Error {
    match tls::explain(status) {
        Some(text) => anyhow::anyhow!(text),
        None if status.message().is_empty() => anyhow::anyhow!("{} ({})", status.code(), code_of(status)),
        None => anyhow::anyhow!("{} ({:?}, {})", status.message(), status.code(), code_of(status)),
    }
}

/// A channel over one connection whose handshake has succeeded.
pub(crate) async fn open(
    server: &Server,
    listener: Listener,
    config: ClientConfig,
) -> anyhow::Result<(Channel, tls::Fault)> {
    let failed = || format!("cannot connect to {}:{}", server.host, listener.port(server));
    let connect = async {
        let connected = tls::connect(server, listener, config).await;
        let stream = connected.map_err(|error| match tls::explain(&error) {
            Some(text) => anyhow::anyhow!(text),
            None => error.into(),
        })?;
        let fault = Arc::clone(&stream.fault);
        let stream = Arc::new(Mutex::new(Some(stream)));
        let take = service_fn(move |_| {
            let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
            std::future::ready(stream.map(TokioIo::new).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
        });
        // The scheme is that of what tonic sees: TLS is ours.
        let endpoint = Endpoint::try_from(format!("http://{}", listener.name()))?
            .http2_keep_alive_interval(KEEPALIVE_EVERY)
            .keep_alive_timeout(KEEPALIVE_WITHIN)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        anyhow::Ok((endpoint.connect_with_connector(take).await?, fault))
    };
    match tokio::time::timeout(CONNECT_WITHIN, connect).await {
        Ok(opened) => opened.with_context(failed),
        Err(_) => Err(anyhow::anyhow!("no answer within {} s", CONNECT_WITHIN.as_secs())).with_context(failed),
    }
}
