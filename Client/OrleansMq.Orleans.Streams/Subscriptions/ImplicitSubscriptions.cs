using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Orleans.Metadata;
using Orleans.Streams;
using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>A grain class that subscribes to all streams of some topics, by an attribute.</summary>
/// <param name="GrainType">Its grain type.</param>
/// <param name="Bindings">What it says of itself.</param>
/// <param name="Predicate">Which topics.</param>
/// <param name="Mapper">Which grain a stream belongs to.</param>
/// <param name="Pattern">The predicate, as the manifest says it.</param>
/// <param name="MapperName">The mapper, as the manifest says it.</param>
internal sealed record ImplicitSubscriber(GrainType GrainType, GrainBindings Bindings, IStreamNamespacePredicate Predicate,
    IStreamIdMapper Mapper, string Pattern, string MapperName)
{
    /// <summary>Returns the grain of a stream.</summary>
    /// <exception cref="ArgumentException">The stream's key is no key of the class, or the class's mapper failed.</exception>
    public GrainId GrainOf(StreamId stream)
    {
        var grain = MappedOf(stream);
        return GrainKeys.CanBeKey(grain.Key.AsSpan()) ? grain : throw new ArgumentException($"The key '{Shown(stream)}' is no key of a "
            + $"grain of type {GrainType}: one has 1 to {GrainKeys.MaxLength:N0} bytes, without U+0000.");
    }

    // Keys are data: one may have megabytes.
    private static string Shown(StreamId stream)
    {
        const int Most = 100;
        return Encoding.UTF8.GetString(stream.Key.Span[..Math.Min(stream.Key.Length, Most)]);
    }

    private GrainId MappedOf(StreamId stream)
    {
        try
        {
            return GrainId.Create(GrainType, Mapper.GetGrainKeyId(Bindings, stream));
        }
        catch (ArgumentException refused)
        {
            throw new ArgumentException($"The key '{Shown(stream)}' is no key of a grain of type {GrainType}: a class with Guid "
                + "keys takes 32 hexadecimal digits, one with integer keys a decimal number.", refused);
        }
        catch (Exception thrown)
        {
            throw new ArgumentException($"The {nameof(IStreamIdMapper)} '{MapperName}' of grain type {GrainType} finds no grain for key "
                + $"'{Shown(stream)}': {Causes.Of(thrown)}", thrown);
        }
    }

    /// <summary>Returns the grain of a stream; null: it belongs to none of the class.</summary>
    public GrainId? TryGetGrainOf(StreamId stream)
    {
        try
        {
            return GrainOf(stream);
        }
        catch (ArgumentException)
        {
            return null;
        }
    }

    /// <summary>Whether a stream belongs to a grain of the class.</summary>
    public bool IsOf(StreamId stream, GrainId grain) => TryGetGrainOf(stream) == grain;

    /// <summary>Returns the id of its subscription to a stream.</summary>
    public Guid SubscriptionOf(string provider, StreamId stream) =>
        Hashes.Of([.. Encoding.UTF8.GetBytes($"{provider}\n{GrainType}\n"), .. stream.FullKey.Span]);
}

/// <summary>
/// The grain classes with <see cref="ImplicitStreamSubscriptionAttribute"/>. Dispatchers serve what any silo's version of a class says. A
/// grain's own calls are answered from what its silo's version says. A class whose predicate or mapper is unknown here is served by the
/// silos that know it. Thread-safe.
/// </summary>
internal sealed partial class ImplicitSubscriptions(IClusterManifestProvider manifests, IServiceProvider services,
    ILogger<ImplicitSubscriptions> logger)
{
    private const string BindingPrefix = $"{WellKnownGrainTypeProperties.BindingPrefix}.";

    private readonly IStreamNamespacePredicateProvider[] _predicates = [.. services.GetServices<IStreamNamespacePredicateProvider>()];
    private readonly ConcurrentDictionary<GrainType, ImmutableArray<ImplicitSubscriber>> _local = new();
    // The predicates of which the log has said that they fail.
    private readonly ConcurrentDictionary<(GrainType, string), bool> _failed = new();
    private readonly Lock _lock = new();
    private MajorMinorVersion _version = MajorMinorVersion.MinValue;
    private ImmutableArray<ImplicitSubscriber> _all = [];

    /// <summary>All classes, in every version of the cluster.</summary>
    public ImmutableArray<ImplicitSubscriber> All
    {
        get
        {
            lock (_lock)
            {
                var manifest = manifests.Current;
                if (manifest.Version != _version)
                    (_version, _all) = (manifest.Version, ReadAll(manifest));
                return _all;
            }
        }
    }

    /// <summary>Returns the subscriber of a grain's class to a topic, as this silo's version of the class says; null if it has
    /// none.</summary>
    public ImplicitSubscriber? FindLocal(GrainType grainType, string topic)
    {
        foreach (var subscriber in _local.GetOrAdd(grainType, type =>
            manifests.LocalGrainManifest.Grains.TryGetValue(type, out var properties) ? [.. Read(type, properties)] : []))
        {
            if (Covers(subscriber, topic))
                return subscriber;
        }
        return null;
    }

    /// <summary>Whether a class subscribes to a topic. One whose predicate fails for it does not.</summary>
    public bool Covers(ImplicitSubscriber subscriber, string topic)
    {
        try
        {
            return subscriber.Predicate.IsMatch(topic);
        }
        catch (Exception thrown)
        {
            // The predicate is the application's, and topics are anyone's. Other classes and topics go on.
            if (_failed.TryAdd((subscriber.GrainType, subscriber.Pattern), true))
                LogPredicateFailed(subscriber.GrainType, subscriber.Pattern, topic, thrown);
            return false;
        }
    }

    // Silos of one version say the same.
    private ImmutableArray<ImplicitSubscriber> ReadAll(ClusterManifest manifest) =>
    [
        .. from silo in manifest.AllGrainManifests.Append(manifests.LocalGrainManifest).Distinct()
           from grain in silo.Grains
           from subscriber in Read(grain.Key, grain.Value)
           group subscriber by (subscriber.GrainType, subscriber.Pattern, subscriber.MapperName) into same
           select same.First(),
    ];

    private List<ImplicitSubscriber> Read(GrainType grainType, GrainProperties properties)
    {
        var bindings = (from property in properties.Properties
                        where property.Key.StartsWith(BindingPrefix, StringComparison.Ordinal)
                        let name = property.Key[BindingPrefix.Length..].Split('.', 2)
                        where name.Length == 2
                        group (Key: name[1], property.Value) by name[0] into binding
                        select binding.ToImmutableDictionary(static pair => pair.Key, static pair => pair.Value, StringComparer.Ordinal))
            .ToImmutableArray();
        var its = new GrainBindings(grainType, bindings);
        return [.. bindings.Select(binding => Read(its, binding)).OfType<ImplicitSubscriber>()];
    }

    private ImplicitSubscriber? Read(GrainBindings its, ImmutableDictionary<string, string> binding)
    {
        if (!binding.TryGetValue(WellKnownGrainTypeProperties.BindingTypeKey, out var kind)
            || kind != WellKnownGrainTypeProperties.StreamBindingTypeValue
            || !binding.TryGetValue(WellKnownGrainTypeProperties.StreamBindingPatternKey, out var pattern))
            return null;
        var mapperName = binding.GetValueOrDefault(WellKnownGrainTypeProperties.StreamIdMapperKey);
        if (string.IsNullOrWhiteSpace(mapperName))
            mapperName = DefaultStreamIdMapper.Name;
        try
        {
            IStreamNamespacePredicate? predicate = null;
            if (Array.Exists(_predicates, provider => provider.TryGetPredicate(pattern, out predicate)) && predicate is not null)
            {
                return new ImplicitSubscriber(its.GrainType, its, predicate,
                    services.GetRequiredKeyedService<IStreamIdMapper>(mapperName), pattern, mapperName);
            }
            LogUnknown(its.GrainType, pattern, mapperName, null);
        }
        catch (Exception unknown)
        {
            // A predicate's type or a mapper of another version throws what its provider likes. Other classes go on.
            LogUnknown(its.GrainType, pattern, mapperName, unknown);
        }
        return null;
    }

    [LoggerMessage(1, LogLevel.Error, "This silo delivers no events to grain class {GrainType}: its predicate '{Pattern}' or its "
        + "IStreamIdMapper '{Mapper}' is unknown here. Register both on every silo. Silos that know them deliver.")]
    private partial void LogUnknown(GrainType grainType, string pattern, string mapper, Exception? reason);

    [LoggerMessage(2, LogLevel.Error, "Grain class {GrainType} does not subscribe to topic '{Topic}', since its predicate '{Pattern}' "
        + "failed for that name. A predicate is asked about every topic: let it answer false. Further failures of it are not logged.")]
    private partial void LogPredicateFailed(GrainType grainType, string pattern, string topic, Exception reason);
}
