using System.Collections.Concurrent;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>Hands the result of a search to the activation that acts on it, so that a claim costs one search instead of three.</summary>
internal sealed class LeaderFindings(TimeProvider time)
{
    // An activation follows within milliseconds; an older finding may be outdated.
    private static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<ReplicaKey, (LeaderFinding Finding, long At)> _findings = new();

    /// <summary>Parses a grain's partition.</summary>
    public static bool TryParse(GrainId grain, out ReplicaKey key)
    {
        var parsed = GrainKeys.TryParsePartition(grain.Key.ToString()!, out var topicId, out var partition);
        key = new ReplicaKey(topicId, partition);
        return parsed;
    }

    /// <summary>Stores a finding for the activation.</summary>
    public void Put(ReplicaKey key, LeaderFinding finding) => _findings[key] = (finding, time.GetTimestamp());

    /// <summary>Returns a stored finding without removing it.</summary>
    public LeaderFinding? Peek(ReplicaKey key) => _findings.TryGetValue(key, out var found) ? IfFresh(found) : null;

    /// <summary>Removes and returns a finding; only one caller gets it.</summary>
    public LeaderFinding? Take(ReplicaKey key) => _findings.TryRemove(key, out var found) ? IfFresh(found) : null;

    private LeaderFinding? IfFresh((LeaderFinding Finding, long At) found) => time.GetElapsedTime(found.At) < MaxAge ? found.Finding : null;
}
