using System.Collections.Frozen;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Metadata;

namespace OrleansMq.Consumers;

/// <summary>The grain classes that a silo hosts and that consume topics.</summary>
internal sealed class ConsumerClasses : IConfigurationValidator
{
    private readonly Lazy<FrozenDictionary<(GrainType, string), ConsumerClass>> _all;

    public ConsumerClasses(IOptions<GrainTypeOptions> hosted, GrainTypeResolver types, OrleansMqConsumerOptions options)
    {
        var served = hosted.Value.Classes.Where(type => options.Serves?.Invoke(type) ?? true);
        _all = new(() => served.Where(static type => type.IsDefined(typeof(ConsumesAttribute), inherit: true))
            .SelectMany(type => ConsumerClass.Read(type, types.GetGrainType(type), options))
            .ToFrozenDictionary(static consumer => (consumer.GrainType, consumer.Topic)));
        WithoutTopic = served.Where(static type => !type.IsDefined(typeof(ConsumesAttribute), inherit: true)
            && type.GetInterfaces().Any(static face => face.IsGenericType && face.GetGenericTypeDefinition() == typeof(IGrainConsumer<>)));
    }

    /// <summary>All of them, by class and topic.</summary>
    public IEnumerable<ConsumerClass> All => _all.Value.Values;

    /// <summary>Hosted classes that are made to consume, and name no topic.</summary>
    public IEnumerable<Type> WithoutTopic { get; }

    /// <summary>Returns what a class consumes from a topic; null: it does not.</summary>
    public ConsumerClass? Find(GrainType grainType, string topic) => _all.Value.GetValueOrDefault((grainType, topic));

    /// <inheritdoc/>
    public void ValidateConfiguration() => _ = _all.Value;
}
