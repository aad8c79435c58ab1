using System.Collections.Immutable;

namespace OrleansMq.Quotas;

/// <summary>The limits of one entity.</summary>
/// <param name="Entity">The entity.</param>
/// <param name="Limits">Its limits; never empty.</param>
internal sealed record EntityQuotas(QuotaEntity Entity, ImmutableSortedDictionary<QuotaKey, double> Limits);

/// <summary>Whose use counts together: a user's over all its clients, a client id's over all users, one client of one user, or an
/// address.</summary>
/// <param name="User">The user; null: all.</param>
/// <param name="ClientId">The client's id; null: all.</param>
/// <param name="Ip">The address; null for none.</param>
internal readonly record struct QuotaScope(string? User, string? ClientId, string? Ip = null);

/// <summary>The limit that a client has.</summary>
/// <param name="Limit">The limit, in the unit of its key.</param>
/// <param name="Scope">Whose use counts.</param>
internal readonly record struct QuotaMatch(double Limit, QuotaScope Scope);

/// <summary>All quotas, and which of them a client has. Immutable.</summary>
internal sealed class QuotaImage
{
    private readonly Dictionary<QuotaEntity, ImmutableSortedDictionary<QuotaKey, double>> _limits;
    private readonly bool[] _isSet = new bool[QuotaKeys.Count];

    /// <param name="quotas">The entities with their limits.</param>
    public QuotaImage(IEnumerable<EntityQuotas> quotas)
    {
        _limits = quotas.ToDictionary(static one => one.Entity, static one => one.Limits);
        foreach (var key in _limits.Values.SelectMany(static limits => limits.Keys))
            _isSet[(int)key] = true;
    }

    /// <summary>Whether any entity has a limit of that key.</summary>
    public bool Has(QuotaKey key) => _isSet[(int)key];

    /// <summary>Finds the limit of a client: the first of user and client id, user and default client, user, default user and client id,
    /// default user and default client, default user, client id, default client. Those without a limit of that key are passed
    /// over.</summary>
    /// <param name="key">What is limited.</param>
    /// <param name="user">The user's name.</param>
    /// <param name="clientId">The client's id; empty for none. Clients without one are not the same client: each user's count
    /// apart.</param>
    /// <returns>Null: no limit.</returns>
    public QuotaMatch? Find(QuotaKey key, string user, string clientId)
    {
        if (!Has(key))
            return null;
        const string any = QuotaEntity.Default;
        var both = new QuotaScope(user, clientId);
        var ofClient = clientId.Length == 0 ? both : new QuotaScope(null, clientId);
        return Find(key, new QuotaEntity(user, clientId), both) ?? Find(key, new QuotaEntity(user, any), both)
            ?? Find(key, new QuotaEntity(user), new QuotaScope(user, null))
            ?? Find(key, new QuotaEntity(any, clientId), both) ?? Find(key, new QuotaEntity(any, any), both)
            ?? Find(key, new QuotaEntity(any), new QuotaScope(user, null))
            ?? Find(key, new QuotaEntity(null, clientId), ofClient) ?? Find(key, new QuotaEntity(null, any), ofClient);
    }

    /// <summary>Finds the limit of an address; null: no limit.</summary>
    public QuotaMatch? FindAddress(string ip)
    {
        if (!Has(QuotaKey.ConnectionCreationRate))
            return null;
        var scope = new QuotaScope(null, null, ip);
        return Find(QuotaKey.ConnectionCreationRate, new QuotaEntity(null, null, ip), scope)
            ?? Find(QuotaKey.ConnectionCreationRate, new QuotaEntity(null, null, QuotaEntity.Default), scope);
    }

    private QuotaMatch? Find(QuotaKey key, QuotaEntity entity, QuotaScope scope) =>
        _limits.TryGetValue(entity, out var limits) && limits.TryGetValue(key, out var limit) ? new QuotaMatch(limit, scope) : null;
}
