using System.Collections.Immutable;
using System.Text.Json.Serialization;
using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>What a broker says of itself when it joins.</summary>
public sealed record BrokerRegistration
{
    /// <summary>Its number.</summary>
    public required int BrokerId { get; init; }

    /// <summary>The part of the installation that fails as one; null where none was given.</summary>
    public string? Rack { get; init; }

    /// <summary>The host name it is reached under.</summary>
    public string? Host { get; init; }

    /// <summary>Host and port of its HTTP API.</summary>
    public string? Http { get; init; }

    /// <summary>Host and port of its Kafka listener.</summary>
    public string? Kafka { get; init; }

    /// <summary>Host and port of its silo.</summary>
    public string? Orleans { get; init; }

    /// <summary>The program's version.</summary>
    public string Version { get; init; } = "";

    /// <summary>Where its data lives, on its own machine.</summary>
    public string DataDirectory { get; init; } = "";
}

/// <summary>A broker in the registry.</summary>
/// <param name="Registration">What it said of itself when it last joined.</param>
/// <param name="Draining">Whether its replicas move away.</param>
public sealed record RegisteredBroker(BrokerRegistration Registration, bool Draining = false);

/// <summary>
/// The brokers that belong to the cluster, dead or alive, stored under <see cref="Key"/>. Its methods decide what the next document is; who
/// calls them writes it, and only then acts.
/// </summary>
public sealed record BrokerRegistry
{
    /// <summary>The document's key in the state store.</summary>
    public const string Key = "brokers/cluster";

    /// <summary>No broker.</summary>
    public static BrokerRegistry Empty { get; } = new();

    /// <summary>How often an activation has taken over the metadata: the upper half of <see cref="ClusterImage.Version"/>.</summary>
    public int MetadataEpoch { get; init; }

    /// <summary>Whether a broker that joins gets its share of replicas by itself.</summary>
    public bool AutoRebalance { get; init; }

    /// <summary>The brokers by number.</summary>
    public ImmutableSortedDictionary<int, RegisteredBroker> Brokers { get; init; } = ImmutableSortedDictionary<int, RegisteredBroker>.Empty;

    /// <summary>An activation takes over: its images are newer than those of every other before.</summary>
    public BrokerRegistry TakeOver() => this with { MetadataEpoch = MetadataEpoch + 1 };

    /// <summary>A broker joins, for the first time or again. One that was being drained goes on being drained.</summary>
    /// <returns>This very registry where nothing changes.</returns>
    public BrokerRegistry Register(BrokerRegistration registration)
    {
        var before = Brokers.GetValueOrDefault(registration.BrokerId);
        return before?.Registration == registration
            ? this
            : this with { Brokers = Brokers.SetItem(registration.BrokerId, new RegisteredBroker(registration, before?.Draining ?? false)) };
    }

    /// <summary>A broker's replicas are to move away.</summary>
    /// <param name="broker">Its number.</param>
    /// <param name="replicationFactor">The most replicas a partition has.</param>
    /// <param name="isAlive">Whether a broker is alive.</param>
    /// <returns>The next registry, or <see cref="ErrorCode.BrokerIdNotRegistered"/>,
    /// <see cref="ErrorCode.InvalidReplicationFactor"/>.</returns>
    public TopicDecision<BrokerRegistry> Drain(int broker, int replicationFactor, Func<int, bool> isAlive)
    {
        if (!Brokers.TryGetValue(broker, out var found))
            return NotRegistered(broker);
        var left = Brokers.Count(other => other.Key != broker && !other.Value.Draining && isAlive(other.Key));
        if (left < replicationFactor)
            return TopicDecision<BrokerRegistry>.Refuse(ErrorCode.InvalidReplicationFactor,
                $"Broker {broker} cannot be drained: {left} other broker{(left == 1 ? " takes" : "s take")} replicas, but there are "
                + "partitions with "
                    + $"{replicationFactor}. Start another broker first.");
        return TopicDecision<BrokerRegistry>.Accept(With(broker, found with { Draining = true }));
    }

    /// <summary>A broker gets replicas again.</summary>
    /// <returns>The next registry, or <see cref="ErrorCode.BrokerIdNotRegistered"/>.</returns>
    public TopicDecision<BrokerRegistry> Resume(int broker) => Brokers.TryGetValue(broker, out var found)
        ? TopicDecision<BrokerRegistry>.Accept(With(broker, found with { Draining = false }))
        : NotRegistered(broker);

    /// <summary>A broker is forgotten for good.</summary>
    /// <param name="broker">Its number.</param>
    /// <param name="replicas">How many partitions it is to hold.</param>
    /// <param name="isAlive">Whether it is alive.</param>
    /// <returns>The next registry, or <see cref="ErrorCode.BrokerIdNotRegistered"/>, <see cref="ErrorCode.InvalidRequest"/>.</returns>
    public TopicDecision<BrokerRegistry> Remove(int broker, int replicas, bool isAlive)
    {
        if (!Brokers.ContainsKey(broker))
            return NotRegistered(broker);
        if (replicas > 0)
            return TopicDecision<BrokerRegistry>.Refuse(ErrorCode.InvalidRequest,
                $"Broker {broker} holds {replicas} replica{(replicas == 1 ? "" : "s")}. Drain it first, and wait until it holds none.");
        if (isAlive)
            return TopicDecision<BrokerRegistry>.Refuse(ErrorCode.InvalidRequest, $"Broker {broker} is alive. Stop it, then remove it.");
        return TopicDecision<BrokerRegistry>.Accept(this with { Brokers = Brokers.Remove(broker) });
    }

    private BrokerRegistry With(int broker, RegisteredBroker next) => this with { Brokers = Brokers.SetItem(broker, next) };

    private TopicDecision<BrokerRegistry> NotRegistered(int broker) => TopicDecision<BrokerRegistry>.Refuse(ErrorCode.BrokerIdNotRegistered,
        $"There is no broker {broker}: the cluster has {(Brokers.IsEmpty ? "none" : string.Join(", ", Brokers.Keys))}.");
}

/// <summary>The JSON of the cluster's state documents.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(BrokerRegistry))]
[JsonSerializable(typeof(RebalanceJob))]
public sealed partial class ClusterJson : JsonSerializerContext;
