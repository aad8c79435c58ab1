using OrleansMq.Diagnostics;
using OrleansMq.Replication.Links;
using OrleansMq.Topics;

namespace OrleansMq.Replication;

/// <summary>The dependencies that all replicas of a broker share.</summary>
internal sealed class ReplicaPorts(int broker, ReplicationOptions options, IReplicationHost host, TimeProvider time, EngineLog log,
    ReplicaLinks links)
{
    /// <summary>The interval of warnings about one partition, since faults tend to recur with every message.</summary>
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
    /// <summary>The limit of catch-up.</summary>
    public CatchUpThrottle CatchUp => links.CatchUp;
    /// <summary>Decides when catch-up gives way to live traffic.</summary>
    public CatchUpPace Pace => links.Pace;
    /// <summary>The log.</summary>
    public EngineLog Log { get; } = log;
    /// <summary>The timeout of a store operation; after it the outcome is unknown.</summary>
    public TimeSpan StoreTimeout { get; } = TimeSpan.FromSeconds(5);
    /// <summary>Milliseconds since the broker's start; monotonic.</summary>
    public long Now => (long)Time.GetElapsedTime(_started).TotalMilliseconds;
    /// <summary>Milliseconds since 1970.</summary>
    public long Clock => Time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>How long an acknowledgement proves a leadership, in milliseconds.</summary>
    public long LeaseMs { get; } = (long)options.LeaderLease.TotalMilliseconds;

    /// <summary>Returns a leader's times and limits.</summary>
    /// <param name="config">The topic's configuration; null while it is not known.</param>
    public LeaderOptions LeaderOptions(TopicConfig? config) => new()
    {
        MinInsyncReplicas = config?.MinInsyncReplicas,
        MaxLagMs = (long)options.ReplicaLagTimeMax.TotalMilliseconds,
        LeaseMs = LeaseMs,
        AppendTimeoutMs = (long)options.AppendTimeout.TotalMilliseconds,
    };

    /// <summary>Sends a message to another broker's replica of the partition; it may be lost.</summary>
    /// <param name="to">The broker.</param>
    /// <param name="key">The partition.</param>
    /// <param name="message">The message.</param>
    /// <param name="lane">The lane.</param>
    public void Send(int to, ReplicaKey key, ReplicationMessage message, PushLane lane) => links.To(to).Send(key, message, lane);

    /// <summary>Queues the read for a push until its link has room.</summary>
    public void Fill(Replica replica, LeaderReplica leader, FillPush fill) => links.To(fill.To).Fill(replica, leader, fill);

    /// <summary>Logs a warning about a partition, at a limited rate.</summary>
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
