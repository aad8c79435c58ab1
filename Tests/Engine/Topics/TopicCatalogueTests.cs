using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Topics;

public sealed class TopicCatalogueTests
{
    private static readonly Guid Id = Guid.Parse("0196c5a0-0000-7000-8000-000000000001");
    private static readonly Guid OtherId = Guid.Parse("0196c5a0-0000-7000-8000-000000000002");
    private static readonly TopicLimits Limits = new(TopicConfig.Default, DefaultPartitions: 3);

    private static TopicCatalogue With(params string[] names) =>
        names.Aggregate(TopicCatalogue.Empty, (catalogue, name) => catalogue.FinishCreate(name, Guid.NewGuid()));

    private static TopicDecision<TopicCreation> Create(NewTopic topic, TopicCatalogue? catalogue = null) =>
        (catalogue ?? TopicCatalogue.Empty).BeginCreate(topic, Id, Limits);

    [Theory]
    [InlineData(-1)]
    [InlineData(3)]
    public void Topic_waits_for_the_first_broker(short replicationFactor)
    {
        var refused = TopicCatalogue.Empty.BeginCreate(new NewTopic("orders", 1, replicationFactor), Id,
            Limits with { Brokers = 0, DefaultReplicationFactor = 0 });
        Assert.Equal(ErrorAction.Retry, refused.Error.Action());
        Assert.Contains("No broker has joined", refused.Message, StringComparison.Ordinal);
    }

    /// <summary>The default is a goal, and so is a factor that a host declares; one that a caller asks for is a demand.</summary>
    [Theory]
    [InlineData(-1, false, 1, 1, (short)3)]
    [InlineData(-1, false, 2, 2, (short)3)]
    [InlineData(-1, false, 3, 3, null)]
    [InlineData(5, true, 3, 3, (short)5)]
    [InlineData(2, true, 3, 2, null)]
    [InlineData(2, false, 3, 2, null)]
    public void Topic_starts_with_the_replicas_that_there_are_brokers_for(short asked, bool allowsFewer, int brokers, short given,
        short? intended)
    {
        var created = TopicCatalogue.Empty.BeginCreate(new NewTopic("orders", 1, asked) { AllowFewerReplicas = allowsFewer }, Id,
            Limits with { Brokers = brokers, DefaultReplicationFactor = 3, CanGrow = true }).Next;
        Assert.Equal((given, intended), (created.Topic.ReplicationFactor, created.Topic.IntendedReplicationFactor));
        Assert.Equal(given >= 3 ? 2 : 1, created.Config.MinInsyncReplicas);
        Assert.Equal(created.Topic.IntendedReplicationFactor,
            JsonSerializer.Deserialize<TopicState>(JsonSerializer.Serialize(created.Topic))!.IntendedReplicationFactor);
    }

    /// <summary>A topic without partitions could be neither written nor read, and would keep its name.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(20_000)]
    public void Default_number_of_partitions_is_checked_as_a_given_one(int partitions)
    {
        var limits = Limits with { DefaultPartitions = partitions };
        var refused = TopicCatalogue.Empty.BeginCreate(new NewTopic("orders", -1), Id, limits);
        Assert.Equal(ErrorCode.InvalidPartitions, refused.Error);
        Assert.Contains("BrokerOptions.DefaultPartitions", refused.Message, StringComparison.Ordinal);
        Assert.Contains($"not {partitions}.", refused.Message, StringComparison.Ordinal);
        Assert.Equal(2, TopicCatalogue.Empty.BeginCreate(new NewTopic("orders", 2), Id, limits).Next.Topic.Partitions);
    }

    [Fact]
    public void Broker_that_others_cannot_join_promises_no_further_replicas()
    {
        var created = TopicCatalogue.Empty.BeginCreate(new NewTopic("orders", 1, 3) { AllowFewerReplicas = true }, Id, Limits).Next.Topic;
        Assert.Equal((1, null), (created.ReplicationFactor, created.IntendedReplicationFactor));
    }

    [Theory]
    [InlineData(4, false, "choose 1 to 3")]
    [InlineData(33, true, "choose 1 to 32")]
    [InlineData(0, true, "choose 1 to 32")]
    public void Replication_factor_beyond_what_is_possible_is_refused(short asked, bool allowsFewer, string said)
    {
        var refused = TopicCatalogue.Empty.BeginCreate(new NewTopic("orders", 1, asked) { AllowFewerReplicas = allowsFewer }, Id,
            Limits with { Brokers = 3 });
        Assert.Equal(ErrorCode.InvalidReplicationFactor, refused.Error);
        Assert.Contains(said, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Replication_factor_is_raised_to_what_is_reached_and_never_beyond_what_is_intended()
    {
        var topic = TopicCatalogue.Empty.BeginCreate(new NewTopic("orders"), Id,
            Limits with { DefaultReplicationFactor = 3, CanGrow = true }).Next.Topic;
        Assert.Same(topic, topic.Raise(1));
        var two = topic.Raise(2);
        Assert.Equal(((short)2, (short?)3), (two.ReplicationFactor, two.IntendedReplicationFactor));
        var four = two.Raise(4);
        Assert.Equal(((short)3, (short?)null), (four.ReplicationFactor, four.IntendedReplicationFactor));
        Assert.Same(four, four.Raise(5));
    }

    [Fact]
    public void Topic_starts_as_creating_in_both_documents()
    {
        var created = Create(new NewTopic("orders", 6, 1, new Dictionary<string, string> { ["retention.ms"] = " 5 " })).Next;
        Assert.Equal(new TopicCatalogueEntry(Id, TopicStatus.Creating), created.Catalogue.Topics["orders"]);
        Assert.Equal(("orders", Id, 6, TopicStatus.Creating),
            (created.Topic.Name, created.Topic.TopicId, created.Topic.Partitions, created.Topic.Status));
        Assert.Equal("5", created.Topic.Configs["retention.ms"]);
        Assert.Equal(5, created.Config.RetentionMs);
        Assert.Equal(TopicStatus.Active, created.Catalogue.FinishCreate("orders", Id).Topics["orders"].Status);
    }

    // Groups tell by the ids which of two topics of a name is the newer one.
    [Fact]
    public void Topic_that_is_created_after_another_has_a_newer_id_whatever_the_clock_says()
    {
        var first = Create(new NewTopic("orders")).Next;
        var page = first.Catalogue.Forget("orders", Id);
        var earlier = Guid.Parse("0196c59f-0000-7000-8000-00000000000f");
        var ids = new List<Guid> { first.Topic.TopicId };
        for (var clock = 0; clock < 3; clock++)
        {
            var next = page.BeginCreate(new NewTopic("orders"), earlier, Limits).Next;
            Assert.Equal(next.Topic.TopicId, next.Catalogue.Topics["orders"].TopicId);
            Assert.True(TopicIds.IsNewer(next.Topic.TopicId, ids[^1]), $"{next.Topic.TopicId} after {ids[^1]}");
            ids.Add(next.Topic.TopicId);
            // As it is stored.
            page = JsonSerializer.Deserialize<TopicCatalogue>(JsonSerializer.Serialize(next.Catalogue
                .Forget("orders", next.Topic.TopicId)))!;
        }
        // A page of a version before has no newest id, but those of its topics.
        var old = TopicCatalogue.Empty.FinishCreate("other", Id);
        Assert.True(TopicIds.IsNewer(old.BeginCreate(new NewTopic("orders"), earlier, Limits).Next.Topic.TopicId, Id));
        Assert.Equal(OtherId, old.BeginCreate(new NewTopic("orders"), OtherId, Limits).Next.Topic.TopicId);
    }

    [Fact]
    public void Unset_values_take_the_brokers_defaults() => Assert.Equal(3, Create(new NewTopic("orders")).Next.Topic.Partitions);

    [Theory]
    [InlineData("", 1, 1, ErrorCode.InvalidTopic, "empty")]
    [InlineData("a b", 1, 1, ErrorCode.InvalidTopic, "a b")]
    [InlineData("taken", 1, 1, ErrorCode.TopicAlreadyExists, "taken")]
    [InlineData("dotted_name", 1, 1, ErrorCode.InvalidTopic, "dotted.name")]
    [InlineData("orders", 0, 1, ErrorCode.InvalidPartitions, "10000")]
    [InlineData("orders", -2, 1, ErrorCode.InvalidPartitions, "-2")]
    [InlineData("orders", 10_001, 1, ErrorCode.InvalidPartitions, "10001")]
    [InlineData("orders", 1, 0, ErrorCode.InvalidReplicationFactor, "0")]
    [InlineData("orders", 1, 2, ErrorCode.InvalidReplicationFactor, "1 broker")]
    [InlineData("orders", 1, -2, ErrorCode.InvalidReplicationFactor, "-2")]
    public void Invalid_request_is_refused_by_name(string name, int partitions, short replicationFactor, ErrorCode error,
        string said)
    {
        var refused = Create(new NewTopic(name, partitions, replicationFactor), With("taken", "dotted.name"));
        Assert.Equal(error, refused.Error);
        Assert.Contains(said, refused.Message);
    }

    [Fact]
    public void Invalid_configuration_is_refused() =>
        Assert.Equal(ErrorCode.InvalidConfig,
            Create(new NewTopic("orders", Configs: new Dictionary<string, string> { ["x"] = "1" })).Error);

    [Fact]
    public void Name_stays_taken_until_the_last_write_of_its_deletion()
    {
        var catalogue = With("orders");
        var id = catalogue.Topics["orders"].TopicId;
        var deleting = catalogue.BeginDelete("orders").Next;
        Assert.Equal(new TopicCatalogueEntry(id, TopicStatus.Deleting), deleting.Topics["orders"]);
        Assert.Equal(ErrorCode.TopicAlreadyExists, Create(new NewTopic("orders"), deleting).Error);
        Assert.True(deleting.BeginDelete("orders").IsAccepted);
        Assert.True(Create(new NewTopic("orders"), deleting.Forget("orders", id)).IsAccepted);
    }

    [Fact]
    public void Topic_is_being_created_until_it_is_completed_or_its_deletion_begins()
    {
        var creating = Create(new NewTopic("orders")).Next.Catalogue;
        Assert.True(creating.IsCreating("orders", Id));
        Assert.False(creating.IsCreating("orders", OtherId));
        Assert.False(creating.IsCreating("mails", Id));
        Assert.False(creating.FinishCreate("orders", Id).IsCreating("orders", Id));
        Assert.False(creating.BeginDelete("orders").Next.IsCreating("orders", Id));
        Assert.False(creating.Forget("orders", Id).IsCreating("orders", Id));
    }

    [Fact]
    public void Forgetting_a_topic_spares_its_successor_of_the_same_name()
    {
        var catalogue = TopicCatalogue.Empty.FinishCreate("orders", OtherId);
        Assert.Same(catalogue, catalogue.Forget("orders", Id));
    }

    [Fact]
    public void Delete_of_an_unknown_topic_is_refused() =>
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, With("a").BeginDelete("b").Error);

    [Fact]
    public void Topic_needs_a_codec_that_the_broker_has()
    {
        var gzip = new Dictionary<string, string> { ["compression.type"] = "gzip" };
        var limits = Limits with { Codecs = CompressionCodecs.Empty };
        var refused = TopicCatalogue.Empty.BeginCreate(new NewTopic("orders", Configs: gzip), Id, limits);
        Assert.Equal(ErrorCode.InvalidConfig, refused.Error);
        Assert.Contains("Gzip", refused.Message, StringComparison.Ordinal);
        Assert.True(TopicCatalogue.Empty.BeginCreate(new NewTopic("orders", Configs: gzip), Id,
            limits with { Codecs = StandardCodecs.All }).IsAccepted);
        gzip["compression.type"] = "uncompressed";
        var topic = TopicCatalogue.Empty.BeginCreate(new NewTopic("orders", Configs: gzip), Id, limits).Next.Topic;
        Assert.Equal(ErrorCode.InvalidConfig, topic.Alter(new Dictionary<string, string?> { ["compression.type"] = "zstd" },
            TopicConfig.Default, CompressionCodecs.Empty).Error);
        Assert.True(topic.Alter(new Dictionary<string, string?> { ["compression.type"] = "producer" }, TopicConfig.Default,
            CompressionCodecs.Empty).IsAccepted);
    }

    [Fact]
    public void Topic_whose_codec_the_broker_lost_is_altered_while_its_codec_stays()
    {
        var gzip = new Dictionary<string, string> { ["compression.type"] = "gzip" };
        var topic = TopicCatalogue.Empty.BeginCreate(new NewTopic("orders", Configs: gzip), Id, Limits).Next.Topic;

        ErrorCode Alter(string name, string? value) => topic.Alter(new Dictionary<string, string?> { [name] = value }, TopicConfig.Default,
            CompressionCodecs.Empty).Error;

        Assert.Equal(ErrorCode.None, Alter("retention.ms", "1000"));
        Assert.Equal(ErrorCode.None, Alter("compression.type", "gzip"));
        Assert.Equal(ErrorCode.None, Alter("compression.type", null));
        Assert.Equal(ErrorCode.InvalidConfig, Alter("compression.type", "lz4"));
    }

    [Fact]
    public void Codec_without_its_library_is_refused_with_what_to_install()
    {
        var codecs = new CompressionCodecs([new CodecWithoutLibrary()]);
        var zstd = new Dictionary<string, string?> { ["compression.type"] = "zstd" };
        var created = TopicCatalogue.Empty.BeginCreate(new NewTopic("orders", Configs: zstd!), Id, Limits with { Codecs = codecs });
        var altered = TopicCatalogue.Empty.BeginCreate(new NewTopic("orders"), Id, Limits).Next.Topic
            .Alter(zstd, TopicConfig.Default, codecs);
        foreach (var (error, message) in new[] { (created.Error, created.Message), (altered.Error, altered.Message) })
        {
            Assert.Equal(ErrorCode.InvalidConfig, error);
            Assert.Contains(CodecWithoutLibrary.Reason, message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Alter_sets_and_resets_all_or_nothing()
    {
        var topic = Create(new NewTopic("orders", 1, 1, new Dictionary<string, string> { ["retention.ms"] = "5", ["segment.ms"] = "7" }))
            .Next.Topic.Activate();
        var altered = topic.Alter(new Dictionary<string, string?> { ["retention.ms"] = null, ["segment.ms"] = " 8",
            ["retention.bytes"] = null }, TopicConfig.Default).Next;
        Assert.Equal(["segment.ms=8"], altered.Configs.Select(pair => $"{pair.Key}={pair.Value}"));
        var refused = topic.Alter(new Dictionary<string, string?> { ["retention.ms"] = "9", ["segment.ms"] = "x" }, TopicConfig.Default);
        Assert.Equal(ErrorCode.InvalidConfig, refused.Error);
        Assert.Equal(ErrorCode.InvalidConfig,
            topic.Alter(new Dictionary<string, string?> { ["nonsense"] = null }, TopicConfig.Default).Error);
    }

    [Fact]
    public void Partitions_are_only_added()
    {
        var topic = Create(new NewTopic("orders", 3)).Next.Topic.Activate();
        Assert.Equal(ErrorCode.InvalidPartitions, topic.BeginAddPartitions(3).Error);
        Assert.Equal(ErrorCode.InvalidPartitions, topic.BeginAddPartitions(2).Error);
        Assert.Equal(ErrorCode.InvalidPartitions, topic.BeginAddPartitions(10_001).Error);
        var growing = topic.BeginAddPartitions(5).Next;
        Assert.Equal((3, 5), (growing.Partitions, growing.GrowingTo));
        var grown = growing.FinishAddPartitions();
        Assert.Equal((5, null), (grown.Partitions, grown.GrowingTo));
    }

    [Fact]
    public void Documents_have_the_expected_json()
    {
        var topic = Create(new NewTopic("orders", 2, 1, new Dictionary<string, string> { ["retention.ms"] = "5" })).Next.Topic.Activate();
        const string topicJson =
            """{"name":"orders","topicId":"0196c5a0-0000-7000-8000-000000000001","partitions":"""
            + """2,"configs":{"retention.ms":"5"},"status":"active"}""";
        Assert.Equal(topicJson, JsonSerializer.Serialize(topic, TopicJson.Default.TopicState));
        var read = JsonSerializer.Deserialize(topicJson, TopicJson.Default.TopicState)!;
        Assert.Equal(topicJson, JsonSerializer.Serialize(read, TopicJson.Default.TopicState));
        Assert.Contains("\"growingTo\":4", JsonSerializer.Serialize(topic.BeginAddPartitions(4).Next, TopicJson.Default.TopicState));

        const string catalogueJson =
            """{"topics":{"orders":{"topicId":"0196c5a0-0000-7000-8000-000000000001","status":"creating"}}"""
            + ""","newestId":"0196c5a0-0000-7000-8000-000000000001"}""";
        Assert.Equal(catalogueJson,
            JsonSerializer.Serialize(Create(new NewTopic("orders")).Next.Catalogue, TopicJson.Default.TopicCatalogue));
        var catalogue = JsonSerializer.Deserialize(catalogueJson, TopicJson.Default.TopicCatalogue)!;
        Assert.Equal(new TopicCatalogueEntry(Id, TopicStatus.Creating), catalogue.Topics["orders"]);
        Assert.Same(StringComparer.Ordinal, catalogue.Topics.KeyComparer);

        Assert.Equal("""{"nextProducerId":1000}""",
            JsonSerializer.Serialize(ProducerIdState.Initial.TakeBlock().Next, TopicJson.Default.ProducerIdState));
    }

    public static readonly TheoryData<string?, string?, int?, string> Recoveries = new()
    {
        { nameof(TopicStatus.Active), nameof(TopicStatus.Active), null, nameof(TopicRecoveryAction.Serve) },
        { nameof(TopicStatus.Active), nameof(TopicStatus.Active), 9, nameof(TopicRecoveryAction.FinishAddPartitions) },
        { nameof(TopicStatus.Creating), null, null, nameof(TopicRecoveryAction.UndoCreate) },
        { nameof(TopicStatus.Creating), nameof(TopicStatus.Creating), null, nameof(TopicRecoveryAction.FinishCreate) },
        { nameof(TopicStatus.Creating), nameof(TopicStatus.Active), null, nameof(TopicRecoveryAction.FinishCreate) },
        { nameof(TopicStatus.Active), nameof(TopicStatus.Creating), null, nameof(TopicRecoveryAction.FinishCreate) },
        { nameof(TopicStatus.Deleting), nameof(TopicStatus.Active), null, nameof(TopicRecoveryAction.FinishDelete) },
        { nameof(TopicStatus.Deleting), null, null, nameof(TopicRecoveryAction.FinishDelete) },
        { nameof(TopicStatus.Active), null, null, nameof(TopicRecoveryAction.Damaged) },
        { null, nameof(TopicStatus.Active), null, nameof(TopicRecoveryAction.Adopt) },
        { null, nameof(TopicStatus.Creating), null, nameof(TopicRecoveryAction.Adopt) },
        { null, null, null, nameof(TopicRecoveryAction.Unknown) },
    };

    [Theory]
    [MemberData(nameof(Recoveries))]
    public void Each_state_left_by_a_crash_has_one_continuation(string? entry, string? topic, int? growingTo,
        string expected)
    {
        var document = topic is not null
            ? new TopicState { Name = "orders", TopicId = Id, Partitions = 1, Status = Parse(topic), GrowingTo = growingTo } : null;
        var known = entry is not null ? new TopicCatalogueEntry(Id, Parse(entry)) : null;
        Assert.Equal(expected, TopicRecovery.Decide(known, document).ToString());

        static TopicStatus Parse(string status) => Enum.Parse<TopicStatus>(status);
    }

    [Fact]
    public void Document_of_another_topic_id_is_damage() =>
        Assert.Equal(TopicRecoveryAction.Damaged, TopicRecovery.Decide(new TopicCatalogueEntry(OtherId, TopicStatus.Active),
            new TopicState { Name = "orders", TopicId = Id, Partitions = 1, Status = TopicStatus.Active }));
}
