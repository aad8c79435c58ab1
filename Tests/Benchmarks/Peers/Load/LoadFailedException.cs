namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>The load failed; the message says the request, the answer and the remedy.</summary>
internal sealed class LoadFailedException(string message) : Exception(message)
{
    /// <summary>Reports an error in the answer for a partition or topic.</summary>
    public static LoadFailedException Answered(ApiVersion api, string of, short error) =>
        new($"{api.Name} of {of} was answered with error {error} ({NameOf(error)}).");

    private static string NameOf(short error) => error switch
    {
        -1 => "unknown server error: see the broker's log",
        2 => "corrupt message",
        3 => "unknown topic or partition",
        5 => "leader not available",
        6 => "not leader",
        7 => "request timed out",
        10 => "message too large: take a smaller --batch-bytes",
        19 => "not enough replicas",
        20 => "not enough replicas after append",
        35 => "unsupported version",
        36 => "topic already exists",
        38 => "invalid replication factor: fewer brokers than --replication-factor",
        41 => "not controller",
        44 => "policy violation",
        56 => "storage error: see the broker's log",
        76 => "unsupported compression type",
        _ => "Kafka's protocol guide lists its errors by number",
    };
}
