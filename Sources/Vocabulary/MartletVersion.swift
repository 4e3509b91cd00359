/// What this build calls itself.
package enum MartletVersion {
    /// The version of the whole, after semantic versioning.
    package static let current = "0.1.0"
}
