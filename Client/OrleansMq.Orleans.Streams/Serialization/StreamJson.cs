using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;
using Orleans.Serialization;
using Orleans.Streams;

namespace OrleansMq.Streams;

/// <summary>Adds streams to the JSON of Orleans' grain storage, so that handles of subscriptions may be kept in grain state.</summary>
internal sealed class StreamJson(IServiceProvider services) : IPostConfigureOptions<OrleansJsonSerializerOptions>
{
    /// <inheritdoc/>
    public void PostConfigure(string? name, OrleansJsonSerializerOptions options) =>
        options.JsonSerializerSettings.Converters.Add(new Converter(services));

    // The provider is found by its name, in the silo that reads.
    private sealed class Converter(IServiceProvider services) : JsonConverter
    {
        public override bool CanConvert(Type objectType) =>
            objectType.IsGenericType && objectType.GetGenericTypeDefinition() == typeof(OrleansMqStream<>);

        public override void WriteJson(JsonWriter writer, object? value, JsonSerializer serializer)
        {
            var stream = (IOrleansMqStream)value!;
            new JObject
            {
                ["provider"] = stream.ProviderName,
                ["namespace"] = Convert.ToBase64String(stream.StreamId.Namespace.Span),
                ["key"] = Convert.ToBase64String(stream.StreamId.Key.Span),
            }.WriteTo(writer);
        }

        public override object ReadJson(JsonReader reader, Type objectType, object? existingValue, JsonSerializer serializer)
        {
            var read = JObject.Load(reader);
            var provider = Text("provider");
            return Activator.CreateInstance(objectType, provider,
                StreamId.Create(Convert.FromBase64String(Text("namespace")), Convert.FromBase64String(Text("key"))),
                services.GetKeyedService<IStreamProvider>(provider) as OrleansMqStreamProvider)!;

            string Text(string name) => (string?)read[name]
                ?? throw new JsonSerializationException($"A stream of OrleansMq in JSON has a '{name}'.");
        }
    }
}
