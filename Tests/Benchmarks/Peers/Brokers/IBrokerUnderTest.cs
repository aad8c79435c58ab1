namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>When what a broker acknowledges is on the disk.</summary>
internal enum FlushSetting
{
    /// <summary>The operating system decides.</summary>
    None = 0,
    /// <summary>Before it is acknowledged.</summary>
    EveryAcknowledgement = 1,
    /// <summary>Every second, whatever was acknowledged meanwhile.</summary>
    EverySecond = 2,
}

/// <summary>How a broker is to be started; each translates it into settings of its own.</summary>
/// <param name="Nodes">Processes that replicate to each other; 1 or 3.</param>
/// <param name="Flush">What an acknowledgement means.</param>
internal sealed record BrokerSettings(int Nodes = 1, FlushSetting Flush = FlushSetting.None);

/// <summary>A broker that can be started, measured and stopped: as its users run it, in processes of its own.</summary>
internal interface IBrokerUnderTest
{
    /// <summary>What tables call it, with its version where that is known.</summary>
    string Name { get; }

    /// <summary>Why it cannot be started like that on this machine, and what to do; null where it can.</summary>
    string? Lacks(BrokerSettings settings);

    /// <summary>Starts it in a directory that is empty, and waits until it serves.</summary>
    /// <exception cref="PeerFailedException">It did not come up; nothing of it runs any more.</exception>
    Task<RunningBroker> StartAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken);
}

/// <summary>A broker that serves. Disposing it stops it; its directory is whose who made it.</summary>
internal abstract class RunningBroker : IAsyncDisposable
{
    /// <summary>HOST:PORT of what its clients speak; the first node's.</summary>
    public required string Endpoint { get; init; }

    /// <summary>Its processes: their memory is its memory.</summary>
    public required IReadOnlyList<int> Processes { get; init; }

    /// <summary>Processes that it needs beside, such as a database; their processor time counts as its own, their memory does
    /// not.</summary>
    public IReadOnlyList<int> Companions { get; init; } = [];

    /// <summary>From the start of its processes until it served.</summary>
    public required TimeSpan StartTime { get; init; }

    /// <summary>Where its files are.</summary>
    public required string Directory { get; init; }

    /// <summary>All whose processor time counts, with those that they started.</summary>
    public IReadOnlyList<int> AllProcesses => ProcessFigures.WithDescendants([.. Processes, .. Companions]);

    public abstract ValueTask DisposeAsync();
}

/// <summary>A broker or a tool of it did not do what it was asked to; the message holds what it wrote.</summary>
internal sealed class PeerFailedException(string message) : Exception(message);
