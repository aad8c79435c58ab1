using System.Reflection;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using OrleansMq.Brokers;
using OrleansMq.Grains;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Serialization;
using OrleansMq.Grains.Topics;

namespace OrleansMq.Tests.Cluster.Serialization;

/// <summary>
/// What silos of different versions must agree on: the names and field numbers of everything that crosses them. A difference here breaks a
/// rolling upgrade: add a field under a new number, or a method under a new alias, and extend the file; never change a line that is there.
/// </summary>
public sealed class WireContractTests
{
    private static readonly Serializer Serializer =
        new ServiceCollection().AddSerializer(builder => builder
            .AddAssembly(typeof(IClusterGrain).Assembly).AddAssembly(typeof(IPartitionOwnerGrain).Assembly))
            .BuildServiceProvider().GetRequiredService<Serializer>();

    /// <summary>One value of every type that crosses silos, each field with a value of its own.</summary>
    public static IReadOnlyDictionary<string, object> Samples { get; } = new Dictionary<string, object>
    {
        ["BrokerDescription"] = new BrokerDescription(3, "0.1.0", 4, 5, "/data"),
        ["BrokerException"] = new BrokerException(ErrorCode.InvalidConfig, "retention.ms"),
        ["ClusterDescription"] = new ClusterDescription("c1", "cluster", [new BrokerDescription(3, "0.1.0", 4, 5, "/data")]),
        ["ConfigEntry"] = new ConfigEntry("retention.ms", "1000", true),
        ["FetchResult"] = new FetchResult(ErrorCode.OffsetOutOfRange, 11, 10, 7, new byte[] { 1, 2, 3 }, null, "m"),
        ["NewTopic"] = new NewTopic("orders", 6, 3, new Dictionary<string, string> { ["retention.ms"] = "1000" }),
        ["OffsetResult"] = new OffsetResult(ErrorCode.OffsetNotAvailable, 17, 1234, 2, "m"),
        ["OffsetSpec"] = OffsetSpec.MaxTimestamp,
        ["PartitionDescription"] = new PartitionDescription(1, 2, 3, [2, 4], [2], 5, 6, 7, 8, "offline"),
        ["PartitionRead"] = new PartitionRead(17)
        {
            MaxBytes = 100,
            MinBytes = 2,
            MaxWait = TimeSpan.FromSeconds(1),
            Isolation = IsolationLevel.ReadCommitted,
        },
        ["PartitionSpec"] = new PartitionSpec { Topic = "orders", Configs = new() { ["retention.ms"] = "1000" } },
        ["ProduceResult"] = new ProduceResult(ErrorCode.MessageTooLarge, 5, 6, 7, "m"),
        ["ProducerIdentity"] = new ProducerIdentity(1000, 3),
        ["TopicDescription"] = new TopicDescription("orders", TopicId,
            [new PartitionDescription(0, 1, 2, [1], [1], 3, 4, 5, 6)], [new ConfigEntry("a", "b", false)]),
        ["TopicListing"] = new TopicListing("orders", TopicId, 6),
        ["TopicSpec"] = new TopicSpec { TopicId = TopicId, Partitions = 6, Configs = new() { ["retention.ms"] = "1000" } },
    };

    private static readonly Type[] Grains =
        [
        typeof(IClusterGrain), typeof(ILeaderService), typeof(IPartitionGrain), typeof(IPartitionLeaderGrain), typeof(IPartitionOwnerGrain),
        typeof(ITopicGrain), typeof(ITopicOwnerGrain)
    ];

    private static Guid TopicId => Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");

    [Fact]
    public void EveryTypeThatCrossesSilosHasASample()
    {
        var crossing = EngineTypeAliases.Aliases.Values.Concat([typeof(PartitionRead), typeof(PartitionSpec), typeof(TopicSpec)])
            .OrderBy(type => type.Name, StringComparer.Ordinal);
        Assert.Equal(crossing, Samples.OrderBy(sample => sample.Key, StringComparer.Ordinal).Select(sample => sample.Value.GetType()));
    }

    [Fact]
    public void BytesAreThoseOfTheContract() => Contract.Check("bytes.txt", Samples.OrderBy(sample => sample.Key, StringComparer.Ordinal)
        .Select(sample => $"{sample.Key} {Convert.ToHexString(Serializer.SerializeToArray(sample.Value))}"));

    [Fact]
    public void GrainsAndMethodsAreThoseOfTheContract() => Contract.Check("methods.txt",
        from type in Grains
        from method in type.GetMethods().OrderBy(method => method.Name, StringComparer.Ordinal)
        select $"{type.GetCustomAttribute<AliasAttribute>()!.Alias}.{method.GetCustomAttribute<AliasAttribute>()!.Alias}"
            + $"({string.Join(", ", method.GetParameters().Select(parameter => parameter.ParameterType.Name))})");

    [Theory]
    [MemberData(nameof(SampleNames))]
    public void AValueSurvives(string name)
    {
        var bytes = Serializer.SerializeToArray(Samples[name]);
        Assert.Contains($"omq.{name}", Encoding.Latin1.GetString(bytes), StringComparison.Ordinal);
        var read = Serializer.Deserialize<object>(bytes);
        Assert.IsType(Samples[name].GetType(), read);
        Assert.Equal(Printed.Of(Samples[name]), Printed.Of(read));
    }

    public static TheoryData<string> SampleNames() => [.. Samples.Keys];
}
