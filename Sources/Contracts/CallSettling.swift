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
