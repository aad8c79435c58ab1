using OrleansMq.Api;
using OrleansMq.Grains.Coordination;

namespace OrleansMq.Grains.Groups;

/// <summary>Where the members of a group were last heard of. A member that gives partitions up has no request that waits, and could be
/// missed only by its session otherwise. Thread safe.</summary>
internal sealed class MemberCallers
{
    // No session lasts longer, so no member is forgotten.
    private static readonly TimeSpan KeptTime = TimeSpan.FromHours(1);
    private const int Few = 64;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, (GrainId Caller, DateTimeOffset At)> _last = new(StringComparer.Ordinal);
    private int _pruneAt = Few;

    /// <summary>Remembers the caller of a member's heartbeat.</summary>
    public void Heard(ConsumerGroupHeartbeat heartbeat, GrainId caller, DateTimeOffset now)
    {
        if (heartbeat.MemberId.Length == 0 || caller.IsDefault)
            return;
        lock (_lock)
        {
            if (heartbeat.MemberEpoch < 0) // It leaves.
                _last.Remove(heartbeat.MemberId);
            else
                _last[heartbeat.MemberId] = (caller, now);
            if (_last.Count < _pruneAt)
                return;
            foreach (var (memberId, (_, at)) in _last) // The enumeration of a dictionary permits to remove entries.
            {
                if (now - at > KeptTime)
                    _last.Remove(memberId);
            }
            _pruneAt = Math.Max(Few, 2 * _last.Count);
        }
    }

    /// <summary>The members that were last heard of from a caller that is gone. They are forgotten.</summary>
    public IReadOnlyList<string> Take(GoneCaller gone)
    {
        lock (_lock)
        {
            string[] members = [.. _last.Where(entry => gone.Is(entry.Value.Caller)).Select(static entry => entry.Key)];
            foreach (var member in members)
                _last.Remove(member);
            return members;
        }
    }
}
