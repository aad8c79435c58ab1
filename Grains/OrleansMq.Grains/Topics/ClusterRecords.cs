using System.Collections.Immutable;
using OrleansMq.Clusters;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Topics;

/// <summary>A <see cref="BrokerRegistration"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.RegistrationRecord")]
internal sealed record RegistrationRecord
{
    [Id(0)] public required int BrokerId { get; init; }
    [Id(1)] public string? Rack { get; init; }
    [Id(2)] public string? Host { get; init; }
    [Id(3)] public string? Http { get; init; }
    [Id(4)] public string? Kafka { get; init; }
    [Id(5)] public string? Orleans { get; init; }
    [Id(6)] public required string Version { get; init; }
    [Id(7)] public required string DataDirectory { get; init; }
    [Id(8)] public string? Codecs { get; init; }
    [Id(9)] public string? KafkaListeners { get; init; }

    public static RegistrationRecord Of(BrokerRegistration registration) => new()
    {
        BrokerId = registration.BrokerId,
        Rack = registration.Rack,
        Host = registration.Host,
        Http = registration.Http,
        Kafka = registration.Kafka,
        Orleans = registration.Orleans,
        Version = registration.Version,
        DataDirectory = registration.DataDirectory,
        Codecs = registration.Codecs,
        KafkaListeners = registration.KafkaListeners,
    };

    public BrokerRegistration ToRegistration() => new()
    {
        BrokerId = BrokerId,
        Rack = Rack,
        Host = Host,
        Http = Http,
        Kafka = Kafka,
        Orleans = Orleans,
        Version = Version,
        DataDirectory = DataDirectory,
        Codecs = Codecs,
        KafkaListeners = KafkaListeners,
    };
}

/// <summary>A <see cref="LeadershipReport"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.LeadershipRecord")]
internal sealed record LeadershipRecord
{
    [Id(0)] public required Guid TopicId { get; init; }
    [Id(1)] public required int Partition { get; init; }
    [Id(2)] public required bool Leads { get; init; }
    [Id(3)] public required int LeaderEpoch { get; init; }
    [Id(4)] public required long Counter { get; init; }
    [Id(5)] public required int[] Replicas { get; init; }
    [Id(6)] public required int[] Isr { get; init; }
    [Id(7)] public required int[] Elr { get; init; }
    [Id(8)] public required int[] Target { get; init; }

    public static LeadershipRecord Of(LeadershipReport report) => new()
    {
        TopicId = report.Key.TopicId,
        Partition = report.Key.Partition,
        Leads = report.Leads,
        LeaderEpoch = report.LeaderEpoch,
        Counter = report.Counter,
        Replicas = [.. report.Replicas],
        Isr = [.. report.Isr],
        Elr = [.. report.Elr],
        Target = [.. report.Target],
    };

    public LeadershipReport ToReport() =>
        new(new(TopicId, Partition), Leads, LeaderEpoch, Counter, [.. Replicas], [.. Isr], [.. Elr], [.. Target]);
}

/// <summary>The wire form of an <see cref="ImageTopic"/> between silos, without its partitions.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.TopicRecord")]
internal sealed record TopicRecord
{
    [Id(0)] public required Guid TopicId { get; init; }
    [Id(1)] public required string Name { get; init; }
    [Id(2)] public required int Status { get; init; }
    [Id(3)] public required short ReplicationFactor { get; init; }
    [Id(4)] public required Dictionary<string, string> Configs { get; init; }
    [Id(5)] public required int Serving { get; init; }
    [Id(6)] public short IntendedReplicationFactor { get; init; }

    public static TopicRecord Of(TopicState topic) => new()
    {
        TopicId = topic.TopicId,
        Name = topic.Name,
        Status = (int)topic.Status,
        ReplicationFactor = topic.ReplicationFactor,
        Configs = new Dictionary<string, string>(topic.Configs),
        Serving = topic.Status == TopicStatus.Active ? topic.Partitions : 0,
        IntendedReplicationFactor = topic.IntendedReplicationFactor ?? 0,
    };

    /// <summary>Returns the topic with those partitions, or with those it had, if it had more.</summary>
    public ImageTopic ToTopic(ImageTopic? before, int first, int[][] replicas)
    {
        var partitions = (before?.Partitions ?? []).ToBuilder();
        for (var index = partitions.Count - first; index < replicas.Length; index++)
            partitions.Add(ImagePartition.Create([.. replicas[index]]));
        return new ImageTopic(Name, TopicId, (TopicStatus)Status, ReplicationFactor,
            Configs.ToImmutableSortedDictionary(StringComparer.Ordinal), partitions.ToImmutable(), Serving)
        {
            IntendedReplicationFactor = IntendedReplicationFactor,
        };
    }
}
