using System.Collections.Concurrent;
using OrleansMq.Diagnostics;

namespace OrleansMq.Replication.Links;

/// <summary>A broker's links to the others: made as they are needed.</summary>
/// <param name="host">Carries bundles.</param>
/// <param name="time">The broker's clock.</param>
/// <param name="log">Where trouble is told.</param>
/// <param name="liveShare">See <see cref="CatchUpPace.LiveShare"/>.</param>
internal sealed class ReplicaLinks(IReplicationHost host, TimeProvider time, EngineLog log, int liveShare)
{
    private readonly ConcurrentDictionary<int, ReplicaLink> _links = new();
    private readonly CancellationTokenSource _closing = new();
    private volatile bool _closed;

    /// <summary>What the other brokers answer: a bundle, and whose. Set before anything is sent.</summary>
    public Action<int, ReadOnlyMemory<byte>> OnAnswers { get; set; } = static (_, _) => { };

    /// <summary>How fast replicas may catch up, over all links together.</summary>
    public CatchUpThrottle CatchUp { get; } = new(time);

    /// <summary>How much of the broker's time they may take beside live traffic, as their leader and as their follower.</summary>
    public CatchUpPace Pace { get; } = new(time) { LiveShare = liveShare };

    /// <summary>Cancelled when the links are closed.</summary>
    public CancellationToken Closing => _closing.Token;

    /// <summary>Whether nothing is sent any more.</summary>
    public bool IsClosed => _closed;

    /// <summary>The link to a broker.</summary>
    public ReplicaLink To(int broker) => _links.GetOrAdd(broker, static (to, links) => links.Create(to), this);

    /// <summary>Nothing is sent any more; completes when what is under way has ended, or been given up.</summary>
    public async Task CloseAsync()
    {
        _closed = true;
        await _closing.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_links.Values.Select(link => link.CloseAsync())).ConfigureAwait(false);
    }

    private ReplicaLink Create(int broker) => new(this, broker, host, time, log);
}
