namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>When acknowledged records are flushed to disk.</summary>
internal enum FlushSetting
{
    /// <summary>When the operating system decides.</summary>
    None = 0,
    /// <summary>Before the acknowledgement.</summary>
    EveryAcknowledgement = 1,
    /// <summary>Every second, independent of acknowledgements.</summary>
    EverySecond = 2,
}

/// <summary>The settings of a broker under test, which each implementation translates.</summary>
/// <param name="Nodes">The number of replicating processes; 1 or 3.</param>
/// <param name="Flush">The durability of an acknowledgement.</param>
internal sealed record BrokerSettings(int Nodes = 1, FlushSetting Flush = FlushSetting.None);

/// <summary>A broker that can be started, measured and stopped, in processes of its own as its users run it.</summary>
internal interface IBrokerUnderTest
{
    /// <summary>The name in tables, with the version if known.</summary>
    string Name { get; }

    /// <summary>Returns why the broker cannot run with these settings on this machine, and the remedy; null if it can.</summary>
    string? Lacks(BrokerSettings settings);

    /// <summary>Starts the broker in an empty directory, or in one that it has left, and waits until it serves.</summary>
    /// <exception cref="PeerFailedException">The start failed; no process is left.</exception>
    Task<RunningBroker> StartAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken);
}

/// <summary>Where a replicated queue is.</summary>
/// <param name="Leader">HOST:PORT of the AMQP listener of the node that leads it; null while none does.</param>
/// <param name="Replicas">The number of replicas that take part in its replication.</param>
internal readonly record struct QueuePlace(string? Leader, int Replicas);

/// <summary>A serving broker. Dispose stops it; its directory belongs to the caller.</summary>
internal abstract class RunningBroker : IAsyncDisposable
{
    /// <summary>HOST:PORT of the first node's client listener.</summary>
    public required string Endpoint { get; init; }

    /// <summary>The broker's processes, whose memory counts.</summary>
    public required IReadOnlyList<int> Processes { get; init; }

    /// <summary>Auxiliary processes, such as a database: their processor time counts as the broker's, their memory does not.</summary>
    public IReadOnlyList<int> Companions { get; init; } = [];

    /// <summary>The time from process start until the broker served.</summary>
    public required TimeSpan StartTime { get; init; }

    /// <summary>The directory of its files.</summary>
    public required string Directory { get; init; }

    /// <summary>All processes whose processor time counts, including their children.</summary>
    public IReadOnlyList<int> AllProcesses => ProcessFigures.WithDescendants([.. Processes, .. Companions]);

    /// <summary>Finds a durable AMQP queue of the virtual host <c>/</c>. Only clusters with AMQP can tell.</summary>
    /// <exception cref="PeerFailedException">The broker does not tell.</exception>
    public virtual Task<QueuePlace> FindQueueAsync(string queue, CancellationToken cancellationToken) =>
        throw new PeerFailedException($"This broker does not tell where queue '{queue}' is.");

    public abstract ValueTask DisposeAsync();
}

/// <summary>A broker or one of its tools failed; the message contains its output.</summary>
internal sealed class PeerFailedException(string message) : Exception(message);
