using System.Text.Json.Serialization;

namespace OrleansMq.Client;

/// <summary>
/// Options for producers and readers that are created without any. <c>services.Configure&lt;OrleansMqClientOptions&gt;(...)</c> changes
/// those of the registered client, which a host validates when it starts.
/// </summary>
public sealed record OrleansMqClientOptions
{
    /// <summary>Options of producers.</summary>
    public ProducerOptions Producer { get; set; } = new();

    /// <summary>Options of partition readers and consumers.</summary>
    public ReaderOptions Reader { get; set; } = new();

    /// <summary>Source-generated metadata of the types that are JSON where no serializer is given. In a container use
    /// <c>UseJson(...)</c>, which also checks types at their registration.</summary>
    public IList<JsonSerializerContext> Json { get; } = [];

    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Producer.Validate();
        Reader.Validate();
    }
}

/// <summary>Options of a registered message handler, under its name: that of its type, with <c>-2</c> for the second registration of one
/// type.</summary>
public sealed record MessageHandlerOptions
{
    /// <summary>How it reads and commits.</summary>
    public ConsumerOptions Consumer { get; set; } = new() { AutoOffsetReset = AutoOffsetReset.Unspecified };

    /// <summary>Which topics it reads, and how records are handled.</summary>
    public MessageHandlingOptions Handling { get; set; } = new();

    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Consumer.Validate();
        Handling.Validate();
    }
}

/// <summary>Consumer options that come from a configuration.</summary>
internal sealed class ConfiguredConsumer
{
    public ConsumerOptions Options { get; set; } = new() { AutoOffsetReset = AutoOffsetReset.Unspecified };
}

/// <summary>Where brokers are reached over HTTP, and how.</summary>
internal sealed class ConfiguredHttp
{
    public IReadOnlyList<Uri> Addresses { get; init; } = [];

    public HttpBrokerOptions Options { get; } = new();

    /// <exception cref="ArgumentException">There is no address, or one is not an absolute http or https URL.</exception>
    public void Validate() => _ = new BrokerAddresses(Addresses);
}
