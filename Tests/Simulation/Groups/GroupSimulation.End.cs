using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Groups;

// The end of a quiet phase: every live member is in the group, and one of them reads each subscribed partition.
internal sealed partial class GroupSimulation
{
    private long _nextLook;

    private bool IsDone()
    {
        if (Now < FaultsEndAt + 500 || Now < _nextLook)
            return false;
        _nextLook = Now + 100;
        return FindUnsettled() is null;
    }

    private void CheckEnd()
    {
        if (FindUnsettled() is { } unsettled)
            throw new Verdict($"liveness: {EndAt - FaultsEndAt} ms after the last fault {unsettled}");
    }

    /// <summary>Describes what is not settled; null if everything is.</summary>
    private string? FindUnsettled()
    {
        if (FindUnsettledTransaction() is { } transaction)
            return transaction;
        var stored = _documents.Group.Value;
        var live = Live();
        if (GroupView.StateOf(stored) != GroupState.Stable)
            return $"the group is {GroupView.StateOf(stored)}";
        foreach (var member in live)
        {
            if (!member.IsSettled || StoredEpochOf(member.MemberId) != member.Epoch)
                return $"{member} is in {member.Epoch}, on its way, and stored in {StoredEpochOf(member.MemberId)}";
        }
        if (GroupView.MembersOf(stored).Except(live.Select(m => m.MemberId)).FirstOrDefault() is { } gone)
            return $"{gone} has ended but is still in the group";
        foreach (var topic in _topics.Values)
        {
            if (live.Any(m => m.Subscribes(topic.Name)) && topic.All.FirstOrDefault(p => live.Count(m => m.Held.Contains(p)) != 1,
                new TopicIdPartition(default, -1)) is { Partition: >= 0 } left)
                return $"{Describe([left])} is read by {live.Count(m => m.Held.Contains(left))}";
        }
        foreach (var member in live)
        {
            if (member.Held.FirstOrDefault(p => !_topics.TryGetValue(NameOf(p.TopicId), out var topic) || topic.Id != p.TopicId
                || !member.Subscribes(topic.Name),
                new TopicIdPartition(default, -1)) is { Partition: >= 0 } wrong)
                return $"{member} reads {Describe([wrong])}, which is deleted or not subscribed";
        }
        return null;
    }
}
