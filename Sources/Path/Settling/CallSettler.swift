package import Contracts
package import Vocabulary

/// Closes calls on one loop: writes the record, counts it, and tells the log. Confined to its loop.
package final class CallSettler: CallSettling, HoldKeeping {
    private let journal: LoopJournal
    private let meters: LoopMeters
    private let log: any CallLogging
    private var refusals = RefusalCounter()

    package init(journal: LoopJournal, meters: LoopMeters, log: any CallLogging) {
        self.journal = journal
        self.meters = meters
        self.log = log
    }

    package func nextRecordID() -> RecordID { journal.nextRecordID() }

    package func settle(_ record: UsageRecord, hold: consuming Hold) -> Bool {
        let isWritten = journal.append(record, isPromised: hold.isBacked)
        hold.settle()
        meters.update { $0.count(record) }
        log.ended(record)
        return isWritten
    }

    package func refuse(_ record: UsageRecord, isAuthenticated: Bool) {
        meters.update {
            $0.count(record)
            $0.countRefusal(record.errorCode, 1)
        }
        log.ended(record)
        guard let own = refusals.take(record, isAuthenticated: isAuthenticated) else { return }
        write(own)
    }

    /// Writes what has been counted together. Called about once a second, and at the end.
    package func flushRefusals() {
        for var record in refusals.flush() {
            record.id = journal.nextRecordID()
            write(record)
        }
    }

    private func write(_ record: UsageRecord) {
        if !journal.append(record, isPromised: false) {
            meters.update { $0.refusalsUnrecorded += record.count }
        }
    }

    package func callBegan() { meters.update { $0.activeCalls += 1 } }
    package func callEnded() { meters.update { $0.activeCalls -= 1 } }

    // MARK: Holds

    package func holdSettled() { journal.release() }
    package func holdGivenBack() { journal.release() }

    package func holdDropped() {
        journal.release()
        meters.update { $0.holdsDropped += 1 }
    }
}
