package import Vocabulary

/// The step that closes every call: its record, its meters, its log line. Confined to one event loop.
package protocol CallSettling: AnyObject {
    /// The identity of the next record of this loop.
    func nextRecordID() -> RecordID
    /// Writes the record of a call that was admitted, into the room that its hold set aside.
    ///
    /// - Returns: whether the record is written.
    func settle(_ record: UsageRecord, hold: consuming Hold) -> Bool
    /// Records a call that was refused before it had a hold; floods are counted together (ARCHITECTURE §3).
    func refuse(_ record: UsageRecord, isAuthenticated: Bool)
    /// A call has begun, or has ended, for the gauges.
    func callBegan()
    func callEnded()
}

/// Room in the journal, set aside before a call so that its record can always be written. Confined to one event loop.
package protocol RecordRoom: AnyObject {
    /// Sets room for one record aside.
    ///
    /// - Returns: `false` when there is none; new calls are then refused.
    func reserve() -> Bool
}

/// Hears of every call that has ended, for the log. Called on the loops: must not wait.
package protocol CallLogging: Sendable {
    func ended(_ record: UsageRecord)
}

/// A keeper of holds for which nothing was set aside (`journal.on_failure: continue` without a journal).
package final class NoKeeper: HoldKeeping {
    package init() {}
    package func holdSettled() {}
    package func holdGivenBack() {}
    package func holdDropped() {}
}
