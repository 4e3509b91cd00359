package import Contracts
internal import Vocabulary

/// Says whether a call may go ahead: the key's right to call models, its list of models, and room in the journal for the record.
package final class ModelAdmission: Admitting {
    private let room: any RecordRoom
    private let keeper: any HoldKeeping
    private let nobody = NoKeeper()
    private let continuesWithoutJournal: Bool

    /// - Parameters:
    ///   - room: where the room for records is reserved.
    ///   - keeper: who is told what became of a hold.
    ///   - continuesWithoutJournal: `journal.on_failure: continue`.
    package init(room: any RecordRoom, keeper: any HoldKeeping, continuesWithoutJournal: Bool) {
        self.room = room
        self.keeper = keeper
        self.continuesWithoutJournal = continuesWithoutJournal
    }

    package func ask(_ question: AdmissionQuestion) -> AdmissionVerdict {
        guard question.principal.rights.contains(.inference) else { return .denied(.missingRight("inference")) }
        guard question.principal.mayUse(model: question.model.name) else { return .denied(.modelNotAllowed(question.model.name)) }
        if room.reserve() { return .granted(Hold(keeper: keeper)) }
        return continuesWithoutJournal ? .granted(Hold(keeper: nobody, isBacked: false)) : .denied(.journalUnavailable)
    }
}
