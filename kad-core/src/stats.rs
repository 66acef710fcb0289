//! What a node counts. Every datagram that comes in is counted once, as handled or under the reason why it was dropped.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters since the node was made. They wrap around.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct Stats { $($(#[$doc])* pub $name: u64,)* }

        impl Stats {
            pub(crate) const EMPTY: Self = Self { $($name: 0,)* };

            /// Adds what another worker of the same node has counted.
            pub fn add(&mut self, other: &Self) {
                $(self.$name = self.$name.wrapping_add(other.$name);)*
            }

            /// Every counter with its name, in the order of declaration.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Datagrams that came in.
    datagrams_in,
    /// Datagrams that this node handed out to be sent: replies, requests and chunks.
    datagrams_out,
    /// PINGs answered.
    pings,
    /// FIND_NODEs answered.
    find_nodes,
    /// FIND_VALUEs handed to the store.
    find_values,
    /// PULLs handed to the store.
    pulls,
    /// STOREs handed to the store.
    stores,
    /// GOODBYEs heard.
    goodbyes,
    /// Replies that found their request.
    replies,
    /// Chunks that found their transfer.
    chunks,
    /// Requests refused because their sender had no valid token.
    token_refused,
    /// PULLs of an offer that is not made here, or not any more.
    pull_refused,
    /// Dropped: another version or mode of the protocol.
    dropped_version,
    /// Dropped: a kind that this version does not know.
    dropped_kind,
    /// Dropped: malformed.
    dropped_malformed,
    /// Dropped: another network's.
    dropped_network,
    /// Dropped: sent by this node itself, or in its name (a PING in its name is answered).
    dropped_own,
    /// Dropped: a request to a client.
    dropped_client,
    /// Dropped: a reply that nothing waits for, or whose nonce or source is wrong.
    dropped_unsolicited,
    /// Dropped: the reply did not fit the caller's buffer.
    dropped_no_room,
    /// Dropped: a datagram of this node's own, because the store had lost the value that belonged in it.
    dropped_no_value,
    /// Requests sent.
    requests_out,
    /// Requests sent again because their answer was late.
    retransmissions,
    /// Requests given up.
    timeouts,
    /// Times that a path turned out to carry small datagrams only.
    small_paths,
    /// Requests and chunks that tried whether a small path carries more.
    path_probes,
    /// Round-trip samples taken.
    rtt_samples,
    /// PINGs to unknown senders and doubted contacts.
    probes,
    /// Unknown senders that were not probed because the budget was spent.
    probes_saved,
    /// Contacts that entered the routing table.
    contacts_added,
    /// Contacts that left it.
    contacts_lost,
    /// Contacts that moved to another address: the old one was silent, the new one proven.
    contacts_moved,
    /// Addresses that answered with another id than they were known by.
    identities_changed,
    /// Operations started by the owner.
    operations_started,
    /// Operations ended, cancelled ones included.
    operations_ended,
    /// Bucket refreshes.
    refreshes,
    /// Values pulled to the end.
    transfers_completed,
    /// Transfers given up.
    transfers_failed,
    /// Offers refused because every slot, or the source's share of them, was taken.
    offers_busy,
    /// Values whose bytes were not what their digest says.
    digest_mismatches,
    /// Tickets handed out.
    tickets_out,
    /// Tickets answered. The rest is dropped or still open.
    tickets_answered,
}

macro_rules! count {
    ($stats:expr, $name:ident) => {
        crate::stats::one_more(&mut $stats.$name)
    };
}

#[inline(never)]
pub(crate) fn one_more(counter: &mut u64) {
    *counter = counter.wrapping_add(1);
}
pub(crate) use count;
