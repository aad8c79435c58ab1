using System.Collections.Immutable;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Orleans.Metadata;
using Orleans.Streams;

namespace OrleansMq.Streams;

/// <summary>A grain class that subscribes to all streams of some topics, by an attribute.</summary>
/// <param name="GrainType">Its grain type.</param>
/// <param name="Bindings">What it says of itself.</param>
/// <param name="Predicate">Which topics.</param>
/// <param name="Mapper">Which grain a stream belongs to.</param>
internal sealed record ImplicitSubscriber(GrainType GrainType, GrainBindings Bindings, IStreamNamespacePredicate Predicate,
    IStreamIdMapper Mapper)
{
    /// <summary>Returns the grain of a stream.</summary>
    /// <exception cref="ArgumentException">The stream's key is no key of the class.</exception>
    public GrainId GrainOf(StreamId stream)
    {
        try
        {
            return GrainId.Create(GrainType, Mapper.GetGrainKeyId(Bindings, stream));
        }
        catch (ArgumentException refused)
        {
            throw new ArgumentException($"The key '{stream.GetKeyAsString()}' is no key of a grain of type {GrainType}: a class with Guid "
                + "keys takes 32 hexadecimal digits, one with integer keys a decimal number.", refused);
        }
    }

    /// <summary>Returns the id of its subscription to a stream.</summary>
    public Guid SubscriptionOf(string provider, StreamId stream) =>
        Hashes.Of([.. Encoding.UTF8.GetBytes($"{provider}\n{GrainType}\n"), .. stream.FullKey.Span]);
}

/// <summary>The grain classes of the cluster with <see cref="ImplicitStreamSubscriptionAttribute"/>, as its manifest says now.</summary>
internal sealed partial class ImplicitSubscriptions(IClusterManifestProvider manifests, GrainBindingsResolver bindings,
    IServiceProvider services, ILogger<ImplicitSubscriptions> logger)
{
    private readonly IStreamNamespacePredicateProvider[] _predicates = [.. services.GetServices<IStreamNamespacePredicateProvider>()];
    private readonly Lock _lock = new();
    private MajorMinorVersion _version = MajorMinorVersion.MinValue;
    private ImmutableArray<ImplicitSubscriber> _all = [];

    /// <summary>All classes.</summary>
    public ImmutableArray<ImplicitSubscriber> All
    {
        get
        {
            lock (_lock)
            {
                var manifest = manifests.Current;
                if (manifest.Version != _version)
                    (_version, _all) = (manifest.Version, Read(manifest));
                return _all;
            }
        }
    }

    /// <summary>Returns the subscriber of a grain's class to a topic; null if it has none.</summary>
    public ImplicitSubscriber? Find(GrainType grainType, string topic) =>
        All.FirstOrDefault(subscriber => subscriber.GrainType == grainType && subscriber.Predicate.IsMatch(topic));

    private ImmutableArray<ImplicitSubscriber> Read(ClusterManifest manifest) =>
    [
        .. from grainType in manifest.AllGrainManifests.SelectMany(static silo => silo.Grains.Keys).Distinct()
           let its = bindings.GetBindings(grainType)
           from binding in its.Bindings
           let subscriber = Read(grainType, its, binding)
           where subscriber is not null
           select subscriber,
    ];

    private ImplicitSubscriber? Read(GrainType grainType, GrainBindings its, ImmutableDictionary<string, string> binding)
    {
        if (!binding.TryGetValue(WellKnownGrainTypeProperties.BindingTypeKey, out var kind)
            || kind != WellKnownGrainTypeProperties.StreamBindingTypeValue
            || !binding.TryGetValue(WellKnownGrainTypeProperties.StreamBindingPatternKey, out var pattern))
            return null;
        IStreamNamespacePredicate? predicate = null;
        if (!Array.Exists(_predicates, provider => provider.TryGetPredicate(pattern, out predicate)) || predicate is null)
        {
            LogUnknownPattern(grainType, pattern);
            return null;
        }
        binding.TryGetValue(WellKnownGrainTypeProperties.StreamIdMapperKey, out var mapper);
        return new ImplicitSubscriber(grainType, its, predicate, services.GetRequiredKeyedService<IStreamIdMapper>(
            string.IsNullOrWhiteSpace(mapper) ? DefaultStreamIdMapper.Name : mapper));
    }

    [LoggerMessage(1, LogLevel.Error, "Grain class {GrainType} receives no events: its predicate '{Pattern}' is unknown here. Register its "
        + "IStreamNamespacePredicateProvider on every silo.")]
    private partial void LogUnknownPattern(GrainType grainType, string pattern);
}
