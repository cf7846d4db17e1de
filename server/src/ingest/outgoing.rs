//! What the server says to an agent and the agent has not read yet. Small while nothing waits, because every idle stream
//! holds one: a bounded queue of tokio has room for 32 messages from the start.

use std::sync::Arc;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use proto::fleet::v1::ServerMessage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// Messages that wait; further ones, and then the reports of the agent, wait for it to read.
const ROOM: usize = 4;

/// A message, and its place until it is read.
#[derive(Debug)]
pub struct Sent {
    message: Box<Result<ServerMessage, Status>>,
    _place: OwnedSemaphorePermit,
}

impl Sent {
    pub(super) fn read(self) -> Result<ServerMessage, Status> {
        *self.message
    }
}

#[derive(Debug)]
pub(super) struct Outgoing {
    /// Bounded by `room`.
    queue: UnboundedSender<Sent>,
    room: Arc<Semaphore>,
}

/// The connection of the agent has ended.
#[derive(Debug)]
pub(super) struct Gone;

pub(super) fn outgoing() -> (Outgoing, UnboundedReceiver<Sent>) {
    let (queue, messages) = unbounded();
    (Outgoing { queue, room: Arc::new(Semaphore::new(ROOM)) }, messages)
}

impl Outgoing {
    /// Waits for a place.
    pub(super) async fn send(&self, message: Result<ServerMessage, Status>) -> Result<(), Gone> {
        let place = Arc::clone(&self.room).acquire_owned().await.map_err(|_| Gone)?;
        self.queue.unbounded_send(Sent { message: Box::new(message), _place: place }).map_err(|_| Gone)
    }

    /// Drops it where there is no place.
    pub(super) fn try_send(&self, message: ServerMessage) {
        if let Ok(place) = Arc::clone(&self.room).try_acquire_owned() {
            // Nobody reads any more, nobody misses it.
            drop(self.queue.unbounded_send(Sent { message: Box::new(Ok(message)), _place: place }));
        }
    }

    /// Waits until there are so many places.
    pub(super) async fn has_room(&self, places: u32) -> Result<(), Gone> {
        drop(self.room.acquire_many(places).await.map_err(|_| Gone)?);
        if self.queue.is_closed() { Err(Gone) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};
    use proto::fleet::v1::ServerMessage;

    use super::{ROOM, outgoing};

    #[tokio::test]
    async fn who_does_not_read_is_waited_for_and_who_is_gone_is_not() {
        let (outgoing, mut messages) = outgoing();
        for _ in 0..ROOM {
            outgoing.send(Ok(ServerMessage::default())).await.expect("there is room");
        }
        assert!(outgoing.send(Ok(ServerMessage::default())).now_or_never().is_none(), "all places are taken");
        assert!(outgoing.has_room(1).now_or_never().is_none());
        drop(messages.next().await);
        outgoing.has_room(1).await.expect("one was read");
        assert!(outgoing.has_room(2).now_or_never().is_none());
        drop(messages);
        assert!(outgoing.has_room(2).await.is_err());
        assert!(outgoing.send(Ok(ServerMessage::default())).await.is_err());
    }
}
