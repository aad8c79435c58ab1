namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>A request type in the one version that the load generator uses: without compact fields, and supported by Kafka 2.3 to
/// 4.3.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Key">Its API key.</param>
/// <param name="Version">The version.</param>
internal sealed record ApiVersion(string Name, short Key, short Version)
{
    public static readonly ApiVersion Produce = new("Produce", 0, 7);
    public static readonly ApiVersion Fetch = new("Fetch", 1, 11);
    public static readonly ApiVersion ListOffsets = new("ListOffsets", 2, 2);
    public static readonly ApiVersion Metadata = new("Metadata", 3, 4);
    public static readonly ApiVersion ApiVersions = new("ApiVersions", 18, 0);
    public static readonly ApiVersion CreateTopics = new("CreateTopics", 19, 4);

    /// <summary>All requests sent, except the one that asks for the versions.</summary>
    public static IReadOnlyList<ApiVersion> Needed { get; } = [Produce, Fetch, ListOffsets, Metadata, CreateTopics];
}
