namespace OrleansMq.Quotas;

/// <summary>Changes of one entity's limits.</summary>
/// <param name="Entity">The entity.</param>
/// <param name="Limits">New limits; null removes one.</param>
internal sealed record QuotaChange(QuotaEntity Entity, IReadOnlyDictionary<QuotaKey, double?> Limits)
{
    /// <summary>Returns what is wrong; null if nothing is.</summary>
    public string? Fault() => Entity.Fault() ?? Limits.Select(one => one.Value is { } value ? Entity.FaultOf(one.Key, value) : null)
        .FirstOrDefault(static fault => fault is not null);
}

/// <summary>How a filter names an entity, with its number in Kafka's protocol.</summary>
internal enum QuotaMatchType : sbyte
{
    /// <summary>That name.</summary>
    Exact = 0,
    /// <summary>The default.</summary>
    Default = 1,
    /// <summary>Any name, and the default.</summary>
    Any = 2,
}

/// <summary>A part of a filter.</summary>
/// <param name="Type">The kind of entity: see <see cref="QuotaEntity.Parts"/>.</param>
/// <param name="Match">How it is named.</param>
/// <param name="Name">The name, for <see cref="QuotaMatchType.Exact"/>.</param>
internal sealed record QuotaFilterPart(string Type, QuotaMatchType Match, string? Name);

/// <summary>Which entities are asked for.</summary>
/// <param name="Parts">What they must have; none: nothing.</param>
/// <param name="IsStrict">Whether they have nothing else.</param>
internal sealed record QuotaFilter(IReadOnlyList<QuotaFilterPart> Parts, bool IsStrict = false)
{
    /// <summary>Selects every entity.</summary>
    public static QuotaFilter All { get; } = new([]);

    /// <summary>Whether an entity is asked for.</summary>
    public bool Selects(QuotaEntity entity) => Parts.All(part => entity.PartOf(part.Type) is { } name && part.Match switch
    {
        QuotaMatchType.Exact => name.Length > 0 && name == part.Name,
        QuotaMatchType.Default => name == QuotaEntity.Default,
        _ => true,
    }) && (!IsStrict || entity.Parts.All(part => Parts.Any(asked => asked.Type == part.Type)));

    /// <summary>Returns what is wrong; null if nothing is.</summary>
    public string? Fault() =>
        Parts.FirstOrDefault(static part => part.Type is not (QuotaEntity.UserType or QuotaEntity.ClientIdType or QuotaEntity.IpType))
            is { } unknown ? $"The entity type is '{unknown.Type}'; allowed are user, client-id and ip."
        : Parts.DistinctBy(static part => part.Type).Count() < Parts.Count ? "The filter names an entity type twice."
        : Parts.Count > 1 && Parts.Any(static part => part.Type == QuotaEntity.IpType)
            ? "A filter by ip is not one by user or client-id, too."
        : Parts.FirstOrDefault(static part => !Enum.IsDefined(part.Match)) is { } match
            ? $"The match type is {(sbyte)match.Match}; allowed are 0 (exact), 1 (default) and 2 (any)."
        : Parts.FirstOrDefault(static part => part.Match == QuotaMatchType.Exact && string.IsNullOrEmpty(part.Name)) is { } nameless
            ? $"The exact match of {nameless.Type} has no name."
        : Parts.FirstOrDefault(static part => part.Match != QuotaMatchType.Exact && part.Name is not null) is { } named
            ? $"The match of {named.Type} has a name, '{named.Name}', which only an exact match has."
        : null;
}

/// <summary>What one broker has counted of a limit.</summary>
/// <param name="Key">What is limited.</param>
/// <param name="Scope">Whose use counts.</param>
/// <param name="Limit">The limit.</param>
/// <param name="Share">The broker's share of it.</param>
/// <param name="Used">What was used in the last ten seconds, a second; of producer ids, those that count.</param>
/// <param name="Wait">How long clients are held back from now on.</param>
internal sealed record QuotaUsage(QuotaKey Key, QuotaScope Scope, double Limit, double Share, double Used, TimeSpan Wait);

/// <summary>Administration of quotas. Thread safe.</summary>
internal interface IQuotas
{
    /// <summary>The entities that a filter selects, with their limits, as this broker knows them.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>.</exception>
    IReadOnlyList<EntityQuotas> List(QuotaFilter filter);

    /// <summary>What was counted on this broker lately, those that use the most of their limit first.</summary>
    IReadOnlyList<QuotaUsage> ListUsage();

    /// <summary>Changes limits: all, or none. Removing one that is not there is no error.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>, <see cref="ErrorCode.PolicyViolation"/>: too many
    /// entities.</exception>
    ValueTask AlterAsync(IReadOnlyCollection<QuotaChange> changes, CancellationToken cancellationToken = default);
}
