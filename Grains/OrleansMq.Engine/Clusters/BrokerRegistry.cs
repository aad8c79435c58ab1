using System.Collections.Immutable;
using System.Text.Json.Serialization;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>A broker's description of itself when it joins.</summary>
internal sealed record BrokerRegistration
{
    /// <summary>Its broker id.</summary>
    public required int BrokerId { get; init; }

    /// <summary>The failure domain that it belongs to; null if not configured.</summary>
    public string? Rack { get; init; }

    /// <summary>The host name under which it is reached.</summary>
    public string? Host { get; init; }

    /// <summary>Host and port of its HTTP API.</summary>
    public string? Http { get; init; }

    /// <summary>Host and port of its first Kafka listener.</summary>
    public string? Kafka { get; init; }

    /// <summary>The addresses of its Kafka listeners by name, as <see cref="ListenerAddresses"/> formats them; null where it has one, at
    /// <see cref="Kafka"/>, whatever its name is.</summary>
    public string? KafkaListeners { get; init; }

    /// <summary>Host and port of its silo.</summary>
    public string? Orleans { get; init; }

    /// <summary>The version of the broker program.</summary>
    public string Version { get; init; } = "";

    /// <summary>Its data directory, on its own machine.</summary>
    public string DataDirectory { get; init; } = "";

    /// <summary>The names of the codecs that work on it, with commas between; null if it did not tell, which means all.</summary>
    public string? Codecs { get; init; }

    /// <summary>Returns the address of its Kafka listener of that name; null if it has none.</summary>
    public string? KafkaAt(string listener) => KafkaListeners is { } listeners ? ListenerAddresses.Find(listeners, listener) : Kafka;

    /// <summary>Names the codecs that work on this machine.</summary>
    public static string NamesOf(CompressionCodecs codecs) =>
        string.Join(',', Enum.GetValues<CompressionType>().Where(type => codecs.WhyMissing(type) is null));

    /// <summary>Whether batches of this codec can be read and written there.</summary>
    public bool Has(CompressionType codec) => Codecs is null || Codecs.Split(',').Contains($"{codec}");
}

/// <summary>A broker in the registry.</summary>
/// <param name="Registration">Its registration when it last joined.</param>
/// <param name="Draining">Whether its replicas are being moved away.</param>
internal sealed record RegisteredBroker(BrokerRegistration Registration, bool Draining = false);

/// <summary>
/// The brokers that belong to the cluster, dead or alive, stored under <see cref="Key"/>. The methods compute the next document. The caller
/// writes it, and acts only afterwards.
/// </summary>
internal sealed record BrokerRegistry
{
    /// <summary>The document's key in the state store.</summary>
    public const string Key = "brokers/cluster";

    /// <summary>A registry without brokers.</summary>
    public static BrokerRegistry Empty { get; } = new();

    /// <summary>How many times an activation has taken over the metadata: the upper half of <see cref="ClusterImage.Version"/>.</summary>
    public int MetadataEpoch { get; init; }

    /// <summary>Whether a joining broker is given its share of replicas automatically.</summary>
    public bool AutoRebalance { get; init; }

    /// <summary>The brokers by id.</summary>
    public ImmutableSortedDictionary<int, RegisteredBroker> Brokers { get; init; } = ImmutableSortedDictionary<int, RegisteredBroker>.Empty;

    /// <summary>Starts a new metadata epoch for an activation: its images are newer than those of all earlier ones.</summary>
    /// <param name="claimed">The highest epoch that a page of the catalogue has: this document may have been lost.</param>
    public BrokerRegistry TakeOver(int claimed = 0) => this with { MetadataEpoch = Math.Max(MetadataEpoch, claimed) + 1 };

    /// <summary>Registers a broker that joins, for the first time or again. A draining broker remains draining.</summary>
    /// <returns>This instance if nothing changes.</returns>
    public BrokerRegistry Register(BrokerRegistration registration)
    {
        var before = Brokers.GetValueOrDefault(registration.BrokerId);
        return before?.Registration == registration
            ? this
            : this with { Brokers = Brokers.SetItem(registration.BrokerId, new RegisteredBroker(registration, before?.Draining ?? false)) };
    }

    /// <summary>Begins to drain a broker.</summary>
    /// <param name="broker">The broker's id.</param>
    /// <param name="replicationFactor">The maximum number of replicas of a partition.</param>
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
                + $"partitions with {replicationFactor}. Start another broker first.");
        return TopicDecision<BrokerRegistry>.Accept(With(broker, found with { Draining = true }));
    }

    /// <summary>Ends the draining of a broker.</summary>
    /// <returns>The next registry, or <see cref="ErrorCode.BrokerIdNotRegistered"/>.</returns>
    public TopicDecision<BrokerRegistry> Resume(int broker) => Brokers.TryGetValue(broker, out var found)
        ? TopicDecision<BrokerRegistry>.Accept(With(broker, found with { Draining = false }))
        : NotRegistered(broker);

    /// <summary>Removes a broker permanently.</summary>
    /// <param name="broker">The broker's id.</param>
    /// <param name="replicas">The number of replicas that it is assigned.</param>
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

    /// <summary>Describes which brokers lack a codec, those that are being drained aside; null if all others have it.</summary>
    public string? WhyMissing(CompressionType codec)
    {
        var lacking = Brokers.Where(broker => !broker.Value.Draining && !broker.Value.Registration.Has(codec))
            .Select(static broker => broker.Key).ToList();
        return lacking.Count == 0 ? null
            : $"Topic configuration 'compression.type' asks for {codec}, but broker{(lacking.Count == 1 ? "" : "s")} "
                + $"{string.Join(", ", lacking)} ha{(lacking.Count == 1 ? "s" : "ve")} no codec for it: every produce would fail where "
                + "one of them leads. Its log says at its start what to install.";
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
internal sealed partial class ClusterJson : JsonSerializerContext;
