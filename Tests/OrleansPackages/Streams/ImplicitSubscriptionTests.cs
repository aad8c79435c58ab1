using System.Collections.Immutable;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans.Metadata;
using Orleans.Streams;
using OrleansMq.Streams;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>Which grain classes subscribe, while silos of several versions run.</summary>
public sealed class ImplicitSubscriptionTests
{
    private static readonly GrainType Known = GrainType.Create("known");
    private static readonly GrainType Other = GrainType.Create("other");

    [Theory]
    [InlineData("ctor:OrleansMq.Nowhere.MyPredicate,OrleansMq.Nowhere", null)]
    [InlineData("namespace:orders", "no-such-mapper")]
    [InlineData("no-such-predicate:orders", null)]
    public void Class_that_cannot_be_read_here_stops_no_other(string pattern, string? mapper)
    {
        var local = Manifest((Known, Binding("namespace:orders")));
        var subscriptions = Subscriptions(local, Manifest((Other, Binding(pattern, mapper))), local);
        Assert.Equal(Known, Assert.Single(subscriptions.All).GrainType);
        Assert.NotNull(subscriptions.FindLocal(Known, "orders"));
        Assert.Null(subscriptions.FindLocal(Other, "orders"));
    }

    [Fact]
    public void Class_subscribes_to_the_topics_of_all_its_versions_and_a_silo_knows_its_own()
    {
        var (older, newer) = (Manifest((Known, Binding("namespace:orders"))),
            Manifest((Known, [.. Binding("namespace:orders"), .. Binding("namespace:bills", index: 1)])));
        foreach (var order in new[] { new[] { older, newer }, [newer, older] })
        {
            var subscriptions = Subscriptions(newer, order);
            Assert.Equal(["namespace:bills", "namespace:orders"], subscriptions.All.Select(found => found.Pattern).Order());
            Assert.NotNull(subscriptions.FindLocal(Known, "bills"));
            Assert.Null(Subscriptions(older, order).FindLocal(Known, "bills"));
        }
    }

    [Fact]
    public void Mapper_that_throws_names_itself()
    {
        var local = Manifest((Known, Binding("namespace:orders", "throws")));
        var subscriber = Subscriptions(local, local).FindLocal(Known, "orders")!;
        var refused = Assert.Throws<ArgumentException>(() => subscriber.GrainOf(StreamId.Create("orders", "k")));
        Assert.Contains("'throws'", refused.Message, StringComparison.Ordinal);
        Assert.Contains("out of keys", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Predicate_that_throws_for_a_topic_subscribes_its_class_to_others_and_stops_no_other()
    {
        var local = Manifest((Known, Binding(new ThrowingPredicate().PredicatePattern)), (Other, Binding("namespace:odd")));
        var subscriptions = Subscriptions(local, local);
        Assert.Equal([Other], subscriptions.All.Where(found => subscriptions.Covers(found, "odd")).Select(found => found.GrainType));
        Assert.Null(subscriptions.FindLocal(Known, "odd"));
        Assert.NotNull(subscriptions.FindLocal(Known, "orders-7"));
    }

    private static ImplicitSubscriptions Subscriptions(GrainManifest local, params GrainManifest[] silos)
    {
        var services = new ServiceCollection();
        services.AddSingleton<IStreamNamespacePredicateProvider, DefaultStreamNamespacePredicateProvider>();
        services.AddSingleton<IStreamNamespacePredicateProvider, ConstructorStreamNamespacePredicateProvider>();
        services.AddKeyedSingleton<IStreamIdMapper, DefaultStreamIdMapper>(DefaultStreamIdMapper.Name);
        services.AddKeyedSingleton<IStreamIdMapper, ThrowingMapper>("throws");
        return new ImplicitSubscriptions(new Manifests(local, silos), services.BuildServiceProvider(),
            NullLogger<ImplicitSubscriptions>.Instance);
    }

    private static GrainManifest Manifest(params (GrainType Type, KeyValuePair<string, string>[] Properties)[] grains) => new(
        grains.ToImmutableDictionary(grain => grain.Type,
            grain => new GrainProperties(grain.Properties.ToImmutableDictionary(StringComparer.Ordinal))),
        ImmutableDictionary<GrainInterfaceType, GrainInterfaceProperties>.Empty);

    private static KeyValuePair<string, string>[] Binding(string pattern, string? mapper = null, int index = 0)
    {
        var prefix = $"{WellKnownGrainTypeProperties.BindingPrefix}.attr-{index}.";
        return
        [
            new(prefix + WellKnownGrainTypeProperties.BindingTypeKey, WellKnownGrainTypeProperties.StreamBindingTypeValue),
            new(prefix + WellKnownGrainTypeProperties.StreamBindingPatternKey, pattern),
            .. mapper is null ? [] : new[] { KeyValuePair.Create(prefix + WellKnownGrainTypeProperties.StreamIdMapperKey, mapper) },
        ];
    }

    /// <summary>Expects a number behind a topic's name.</summary>
    public sealed class ThrowingPredicate : IStreamNamespacePredicate
    {
        public string PredicatePattern => $"ctor:{GetType().AssemblyQualifiedName}";

        public bool IsMatch(string streamNamespace) => int.Parse(streamNamespace.Split('-')[1], CultureInfo.InvariantCulture) > 0;
    }

    private sealed class ThrowingMapper : IStreamIdMapper
    {
        public IdSpan GetGrainKeyId(GrainBindings grainBindings, StreamId streamId) => throw new InvalidOperationException("out of keys");
    }

    private sealed class Manifests(GrainManifest local, GrainManifest[] silos) : IClusterManifestProvider
    {
        public ClusterManifest Current { get; } = new(new MajorMinorVersion(1, 1), silos.Select((silo, index) => (silo, index))
            .ToImmutableDictionary(one => SiloAddress.New(System.Net.IPAddress.Loopback, 1_000 + one.index, 1), one => one.silo));
        public GrainManifest LocalGrainManifest => local;
        public IAsyncEnumerable<ClusterManifest> Updates => throw new NotSupportedException();
    }
}
