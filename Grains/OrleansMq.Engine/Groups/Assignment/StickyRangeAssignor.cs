using System.Runtime.InteropServices;

namespace OrleansMq.Groups.Assignment;

/// <summary>
/// <c>range</c> as the coordinator runs it (KIP-848). Topics with the same number of partitions and the same subscribers are divided
/// identically, so that equal keys meet in one member. A first assignment gives every member one contiguous range. Later, members keep
/// their partition numbers up to an even share, and prefer others from their own rack.
/// </summary>
internal sealed class StickyRangeAssignor : IAssignor
{
    private const int None = AssignmentProblem.None;

    /// <inheritdoc/>
    public string Name => "range";

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> Assign(IReadOnlyCollection<AssignmentMember> members,
        IReadOnlyCollection<AssignmentTopic> topics)
    {
        var problem = new AssignmentProblem(members, topics);
        var assigned = new int[problem.PartitionCount];
        var load = new int[problem.Members.Length];
        var alike = Enumerable.Range(0, problem.Topics.Length)
            .GroupBy(topic => $"{problem.Topics[topic].PartitionCount}:{string.Join(',', problem.Subscribers[topic])}",
                StringComparer.Ordinal);
        foreach (var topicsAlike in alike.Select(group => group.ToArray()))
        {
            var byNumber = AssignNumbers(problem, topicsAlike, load);
            foreach (var topic in topicsAlike)
            {
                byNumber.CopyTo(assigned.AsSpan(problem.FirstPartition[topic]));
                foreach (var member in byNumber)
                    load[member]++;
            }
        }
        return problem.Name(assigned);
    }

    /// <summary>Assigns the partition numbers, the same in all of these topics.</summary>
    private static int[] AssignNumbers(AssignmentProblem problem, int[] topics, int[] load)
    {
        var subscribers = problem.Subscribers[topics[0]];
        var byNumber = OwnersOfNumbers(problem, topics);
        var share = Shares(byNumber, subscribers, load);
        var kept = new Dictionary<int, int>();
        for (var number = 0; number < byNumber.Length; number++)
        {
            if (byNumber[number] == None)
                continue;
            ref var count = ref CollectionsMarshal.GetValueRefOrAddDefault(kept, byNumber[number], out _);
            if (count < share[byNumber[number]])
                count++;
            else
                byNumber[number] = None;
        }
        foreach (var member in subscribers)
        {
            var missing = share[member] - kept.GetValueOrDefault(member);
            foreach (var number in FreeNumbers(problem, topics, byNumber, member).Take(missing).ToList())
                byNumber[number] = member;
        }
        return byNumber;
    }

    /// <summary>Returns for each number the member that owns it in most of the topics. Topics that are new or divided differently are
    /// aligned with the others.</summary>
    private static int[] OwnersOfNumbers(AssignmentProblem problem, int[] topics)
    {
        var owners = new int[problem.Topics[topics[0]].PartitionCount];
        for (var number = 0; number < owners.Length; number++)
        {
            owners[number] = topics.Select(topic => problem.Owner[problem.FirstPartition[topic] + number]).Where(owner => owner != None)
                .GroupBy(owner => owner).OrderByDescending(votes => votes.Count()).ThenBy(votes => votes.Key)
                .Select(votes => votes.Key).DefaultIfEmpty(None).First();
        }
        return owners;
    }

    /// <summary>Computes even shares. One more goes to members that have it already, then to those with the lowest load from other topics,
    /// then by order.</summary>
    private static Dictionary<int, int> Shares(int[] byNumber, int[] subscribers, int[] load)
    {
        var (each, more) = Math.DivRem(byNumber.Length, subscribers.Length);
        var owned = byNumber.Where(owner => owner != None).CountBy(owner => owner).ToDictionary();
        var withMore = subscribers.OrderByDescending(member => owned.GetValueOrDefault(member) > each).ThenBy(member => load[member])
            .Take(more).ToHashSet();
        return subscribers.ToDictionary(member => member, member => each + (withMore.Contains(member) ? 1 : 0));
    }

    /// <summary>Returns the free numbers: those with the most replicas in the member's rack first, then ascending.</summary>
    private static IEnumerable<int> FreeNumbers(AssignmentProblem problem, int[] topics, int[] byNumber, int member)
    {
        var free = Enumerable.Range(0, byNumber.Length).Where(number => byNumber[number] == None);
        return problem.Members[member].RackId is null
            ? free
            : free.OrderByDescending(number => topics.Count(topic => problem.IsInRack(problem.FirstPartition[topic] + number, member)));
    }
}
