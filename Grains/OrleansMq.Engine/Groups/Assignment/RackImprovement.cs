namespace OrleansMq.Groups.Assignment;

/// <summary>
/// Lets members read from their own rack if that costs nothing. Among the partitions that move anyway, some are given to another member or
/// exchanged, so that the assignment stays as even as it is, and nothing else moves.
/// </summary>
internal static class RackImprovement
{
    /// <summary>Improves <paramref name="assigned"/> and updates <paramref name="load"/>.</summary>
    public static void Apply(AssignmentProblem problem, int[] assigned, int[] load)
    {
        if (!problem.Members.Any(member => member.RackId is not null) || !problem.Topics.Any(topic => topic.Racks is not null))
            return;
        var moving = Enumerable.Range(0, assigned.Length)
            .Where(partition => assigned[partition] != AssignmentProblem.None && assigned[partition] != problem.Owner[partition]).ToList();
        // A partition that found no partner usually finds none later. Without this set, a badly spread group would cost quadratic time in
        // its partitions.
        var hopeless = new HashSet<(int Member, int Topic, string Racks)>();
        foreach (var partition in moving)
        {
            if (problem.RacksOf(partition) is not { } racks || problem.IsInRack(partition, assigned[partition]))
                continue;
            var kind = (assigned[partition], problem.TopicOf(partition), string.Join('\n', racks.Order(StringComparer.Ordinal)));
            if (!hopeless.Contains(kind) && !HandOver(problem, assigned, load, partition)
                && !Exchange(problem, assigned, moving, partition))
                hopeless.Add(kind);
        }
    }

    /// <summary>Gives the partition to a member in the right rack that has one fewer; the two then swap loads.</summary>
    private static bool HandOver(AssignmentProblem problem, int[] assigned, int[] load, int partition)
    {
        var from = assigned[partition];
        foreach (var to in problem.Subscribers[problem.TopicOf(partition)])
        {
            if (load[to] >= load[from] || !problem.IsInRack(partition, to))
                continue;
            assigned[partition] = to;
            load[from]--;
            load[to]++;
            return true;
        }
        return false;
    }

    /// <summary>Exchanges the partition for another one that moves too, if that brings more of the two into the right rack.</summary>
    private static bool Exchange(AssignmentProblem problem, int[] assigned, List<int> moving, int partition)
    {
        var mine = assigned[partition];
        var topic = problem.TopicOf(partition);
        foreach (var other in moving)
        {
            var its = assigned[other];
            if (its == mine || !problem.IsInRack(partition, its) || (problem.IsInRack(other, its) && !problem.IsInRack(other, mine))
                || !problem.IsSubscribed(its, topic) || !problem.IsSubscribed(mine, problem.TopicOf(other)))
                continue;
            (assigned[partition], assigned[other]) = (its, mine);
            return true;
        }
        return false;
    }
}
