using OrleansMq.Api;

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

    /// <summary>The most protocols of a member of the classic protocol. Each join compares them with those of all members.</summary>
    public const int MostProtocols = 32;

    /// <summary>The most bytes of a member of the classic protocol: its client id, its protocols' names and their metadata.</summary>
    public const int MostMemberBytes = 1 << 20;

    /// <summary>The most bytes of all members of a group of the classic protocol, with their assignments. Each change of the group writes
    /// them. Apache Kafka writes them as one record, of 1 MiB unless it is configured otherwise.</summary>
    public const int MostGroupBytes = 16 << 20;

    /// <summary>Returns why a join of the classic protocol is refused for itself, without a look at the group; null if it is not.</summary>
    public static string? FindProblem(JoinGroup request) =>
        request.GroupInstanceId?.Length > MostCharacters ? TooLong("GroupInstanceId", request.GroupInstanceId)
        : request.Protocols.Count > MostProtocols
            ? $"Protocols has {request.Protocols.Count} protocols: at most {MostProtocols} are allowed. Configure fewer assignors."
        : BytesOf(request.ClientId, request.Protocols) is var bytes && bytes > MostMemberBytes
            ? $"Protocols, with their names and metadata, and the client id have {bytes} bytes: at most {MostMemberBytes} are allowed. "
                + "Subscribe to fewer topics, or send less user data."
        : null;

    /// <summary>Returns why a group of the classic protocol cannot take in what a member sends; null if it can.</summary>
    /// <param name="others">The bytes of the other members.</param>
    /// <param name="added">What is sent.</param>
    public static string? FindProblem(long others, long added) => others + added <= MostGroupBytes ? null
        : $"The group's members, with their metadata and assignments, would have {others + added} bytes: at most {MostGroupBytes} are "
            + "allowed. Use several groups, or send less user data.";

    /// <summary>The bytes of a member without its assignment.</summary>
    public static long BytesOf(string clientId, IReadOnlyList<GroupProtocol> protocols)
    {
        long bytes = clientId.Length;
        foreach (var protocol in protocols)
            bytes += protocol.Name.Length + protocol.Metadata.Length;
        return bytes;
    }

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
