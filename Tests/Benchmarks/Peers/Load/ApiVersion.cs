namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>A request type in a version that the load generator uses: supported by Kafka 2.3 to 4.3, but for those of transactions in
/// version 2, which are new in 4.0.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Key">Its API key.</param>
/// <param name="Version">The version.</param>
/// <param name="IsFlexible">Whether its fields are compact and may be followed by tagged ones.</param>
internal sealed record ApiVersion(string Name, short Key, short Version, bool IsFlexible = false)
{
    public static readonly ApiVersion Produce = new("Produce", 0, 7);
    public static readonly ApiVersion Fetch = new("Fetch", 1, 11);
    public static readonly ApiVersion ListOffsets = new("ListOffsets", 2, 2);
    public static readonly ApiVersion Metadata = new("Metadata", 3, 4);
    public static readonly ApiVersion ApiVersions = new("ApiVersions", 18, 0);
    public static readonly ApiVersion CreateTopics = new("CreateTopics", 19, 4);

    public static readonly ApiVersion FindCoordinator = new("FindCoordinator", 10, 1);
    public static readonly ApiVersion InitProducerId = new("InitProducerId", 22, 1);
    public static readonly ApiVersion AddPartitionsToTxn = new("AddPartitionsToTxn", 24, 1);
    public static readonly ApiVersion EndTxn1 = new("EndTxn", 26, 1);
    public static readonly ApiVersion Produce2 = new("Produce", 0, 12, IsFlexible: true);
    public static readonly ApiVersion EndTxn2 = new("EndTxn", 26, 5, IsFlexible: true);

    /// <summary>All requests of plain loads, except the one that asks for the versions.</summary>
    public static IReadOnlyList<ApiVersion> Needed { get; } = [Produce, Fetch, ListOffsets, Metadata, CreateTopics];
}
