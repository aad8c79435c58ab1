using System.Collections.Concurrent;
using OrleansMq.Diagnostics;

namespace OrleansMq.Replication.Links;

/// <summary>A broker's links to the others, created on first use.</summary>
/// <param name="host">Delivers bundles.</param>
/// <param name="time">The broker's clock.</param>
/// <param name="log">Gets lines about failures.</param>
/// <param name="liveShare">See <see cref="CatchUpPace.LiveShare"/>.</param>
internal sealed class ReplicaLinks(IReplicationHost host, TimeProvider time, EngineLog log, int liveShare)
{
    private readonly ConcurrentDictionary<int, ReplicaLink> _links = new();
    private readonly CancellationTokenSource _closing = new();
    private volatile bool _closed;

    /// <summary>Processes answers: the answering broker, and its bundle. Set before anything is sent.</summary>
    public Action<int, ReadOnlyMemory<byte>> OnAnswers { get; set; } = static (_, _) => { };

    /// <summary>The limit of catch-up over all links together.</summary>
    public CatchUpThrottle CatchUp { get; } = new(time);

    /// <summary>The share of the broker's time for catch-up beside live traffic, as leader and as follower.</summary>
    public CatchUpPace Pace { get; } = new(time) { LiveShare = liveShare };

    /// <summary>Cancelled when the links are closed.</summary>
    public CancellationToken Closing => _closing.Token;

    /// <summary>Whether the links are closed, so that nothing is sent any more.</summary>
    public bool IsClosed => _closed;

    /// <summary>Returns the link to a broker.</summary>
    public ReplicaLink To(int broker) => _links.GetOrAdd(broker, static (to, links) => links.Create(to), this);

    /// <summary>Stops sending; completes when the calls in flight have ended or were cancelled.</summary>
    public async Task CloseAsync()
    {
        _closed = true;
        await _closing.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_links.Values.Select(link => link.CloseAsync())).ConfigureAwait(false);
    }

    private ReplicaLink Create(int broker) => new(this, broker, host, time, log);
}
