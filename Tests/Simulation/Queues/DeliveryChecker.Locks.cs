using OrleansMq.Queues;

namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>The numbers of locks: a leader numbers its deliveries upwards.</summary>
internal sealed partial class DeliveryChecker
{
    private readonly HashSet<LockToken> _taken = [];
    private readonly Dictionary<(Guid Incarnation, int Epoch, long Offset), long> _lastOfRecord = [];
    private readonly Dictionary<(Guid Incarnation, int Epoch, long Key), long> _lastOfKey = [];

    /// <summary>What waited for a consumer has another lock now.</summary>
    public void OnJoined(SimulatedLeader leader, Deliver joined)
    {
        foreach (var record in joined.Records)
        {
            Verdict.Require(_locks.TryGetValue((joined.Lock.Incarnation, leader.Epoch, record.Offset), out var held)
                && held is { HasEnded: false, IsWaiting: true } && held.Attachment == joined.Attachment,
                $"3: {record.Offset} is joined, and does not wait for the consumer.");
            (held!.Token, held.Deadline) = (joined.Lock, LockEnd(leader));
        }
    }

    // A consumer has the record now. What was delivered or settled before it had a lower number.
    private void CheckNumber(SimulatedLeader leader, LockToken token, long offset)
    {
        var record = (token.Incarnation, leader.Epoch, offset);
        Verdict.Require(_lastOfRecord.GetValueOrDefault(record) < token.Number,
            $"5: {offset} is delivered under lock {token.Number}, and was under {_lastOfRecord.GetValueOrDefault(record)} before.");
        _lastOfRecord[record] = token.Number;
        // A schedule holds no key back.
        if (!simulation.Scenario.Configuration.IsOrderedByKey || simulation.Scenario.Schedules || leader.KeyOf(offset) is not { } key
            || leader != simulation.Leader || InForce.Incarnation != token.Incarnation)
            return;
        var last = _lastOfKey.GetValueOrDefault((token.Incarnation, leader.Epoch, key));
        Verdict.Require(last < token.Number || (last == token.Number && simulation.Scenario.KeyRun > 1),
            $"5: {offset} is delivered under lock {token.Number}, and another one of its key was under {last} before.");
        _lastOfKey[(token.Incarnation, leader.Epoch, key)] = token.Number;
    }
}
