namespace OrleansMq.Groups;

/// <summary>What a member may add to its group's document. Pure.</summary>
internal static class MemberBounds
{
    /// <summary>The most characters of a member's id and rack, and of a topic's name. Clients' ids are UUIDs.</summary>
    public const int MostCharacters = 249;

    /// <summary>The most names of topics that do not exist: a member may subscribe before a topic is created.</summary>
    public const int MostUnknownNames = 1_000;

    /// <summary>The most characters of these names.</summary>
    public const int MostUnknownCharacters = 64 << 10;

    /// <summary>Returns why a heartbeat is refused; null if it is not.</summary>
    /// <param name="memberId">The member's id.</param>
    /// <param name="instanceId">The instance id of a static member.</param>
    /// <param name="rackId">The rack.</param>
    /// <param name="names">The names of the topics that it subscribes to.</param>
    /// <param name="topics">The topics that exist.</param>
    public static string? FindProblem(string memberId, string? instanceId, string? rackId, IReadOnlyList<string>? names,
        GroupTopics topics)
    {
        if (memberId.Length > MostCharacters)
            return TooLong("MemberId", memberId);
        if (instanceId?.Length > MostCharacters)
            return TooLong("InstanceId", instanceId);
        if (rackId?.Length > MostCharacters)
            return TooLong("RackId", rackId);
        var (unknown, characters) = (0, 0L);
        foreach (var name in (names ?? []).Distinct(StringComparer.Ordinal))
        {
            if (name.Length > MostCharacters)
                return $"SubscribedTopicNames has a name of {name.Length} characters: those of topics have at most {MostCharacters}.";
            // Without topics nothing is taken in.
            if (!topics.IsKnown || topics.Find(name) is not null)
                continue;
            (unknown, characters) = (unknown + 1, characters + name.Length);
            if (unknown > MostUnknownNames || characters > MostUnknownCharacters)
                return $"SubscribedTopicNames has more than {MostUnknownNames} names, or {MostUnknownCharacters} characters, of topics "
                    + "that do not exist: leave them out, or create the topics first.";
        }
        return null;
    }

    private static string TooLong(string field, string value) =>
        $"{field} has {value.Length} characters: at most {MostCharacters} are allowed. Use a shorter one.";
}
