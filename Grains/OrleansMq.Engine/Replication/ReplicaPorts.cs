using OrleansMq.Diagnostics;
using OrleansMq.Replication.Links;
using OrleansMq.Topics;

namespace OrleansMq.Replication;

/// <summary>What all replicas of a broker share.</summary>
internal sealed class ReplicaPorts(int broker, ReplicationOptions options, IReplicationHost host, TimeProvider time, EngineLog log,
    ReplicaLinks links)
{
    /// <summary>Lines about one partition's trouble come no faster: trouble tends to come with every message.</summary>
    private static readonly TimeSpan WarnInterval = TimeSpan.FromSeconds(10);

    private readonly long _started = time.GetTimestamp();
    private readonly Lock _warnLock = new();
    private readonly Dictionary<ReplicaKey, long> _warned = [];

    /// <summary>This broker.</summary>
    public int Broker { get; } = broker;
    /// <summary>The cluster.</summary>
    public IReplicationHost Host { get; } = host;
    /// <summary>The broker's clock.</summary>
    public TimeProvider Time { get; } = time;
    /// <summary>How fast replicas may catch up.</summary>
    public CatchUpThrottle CatchUp => links.CatchUp;
    /// <summary>When those give way to live traffic.</summary>
    public CatchUpPace Pace => links.Pace;
    /// <summary>Where log lines go.</summary>
    public EngineLog Log { get; } = log;
    /// <summary>An operation of the store that takes longer counts as failed, its outcome unknown.</summary>
    public TimeSpan StoreTimeout { get; } = TimeSpan.FromSeconds(5);
    /// <summary>Milliseconds since the broker began: never goes back.</summary>
    public long Now => (long)Time.GetElapsedTime(_started).TotalMilliseconds;
    /// <summary>Milliseconds since 1970.</summary>
    public long Clock => Time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>A leader's times and bounds.</summary>
    public LeaderOptions LeaderOptions(TopicConfig config) => new()
    {
        MinInsyncReplicas = config.MinInsyncReplicas,
        MaxLagMs = (long)options.ReplicaLagTimeMax.TotalMilliseconds,
        LeaseMs = (long)options.LeaderLease.TotalMilliseconds,
        AppendTimeoutMs = (long)options.AppendTimeout.TotalMilliseconds,
    };

    /// <summary>Sends a message to a broker's replica of the same partition; it may be lost.</summary>
    /// <param name="to">The broker.</param>
    /// <param name="key">The partition.</param>
    /// <param name="message">What to say.</param>
    /// <param name="lane">Which way.</param>
    public void Send(int to, ReplicaKey key, ReplicationMessage message, PushLane lane) => links.To(to).Send(key, message, lane);

    /// <summary>Has a push filled when there is room for it on the way to the follower.</summary>
    public void Fill(Replica replica, LeaderReplica leader, FillPush fill) => links.To(fill.To).Fill(replica, leader, fill);

    /// <summary>Writes a warning about a partition, now and then.</summary>
    public void Warn(ReplicaKey key, string message)
    {
        var now = Now;
        lock (_warnLock)
        {
            if (_warned.TryGetValue(key, out var last) && now - last < WarnInterval.TotalMilliseconds)
                return;
            _warned[key] = now;
        }
        Log.Write(EngineLogLevel.Warning, message);
    }
}
