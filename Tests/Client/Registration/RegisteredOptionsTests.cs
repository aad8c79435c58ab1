using System.Runtime.CompilerServices;
using System.Text.Json.Serialization;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Registration;

/// <summary>Options of the registered client, as Microsoft.Extensions.Options configures them.</summary>
public sealed partial class RegisteredOptionsTests : IAsyncLifetime
{
    private TestBroker _broker = null!;

    public async Task InitializeAsync() => _broker = await TestBroker.StartAsync();

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Configured_options_apply_to_producers_created_without_any()
    {
        var services = new ServiceCollection();
        services.AddOrleansMqClient().UseBroker(_broker.Broker).AddProducer<string, string>();
        services.Configure<OrleansMqClientOptions>(options => options.Producer = options.Producer with { MaxRequestSize = 2000 });
        await using var provider = services.BuildServiceProvider();
        await _broker.Client.Admin.CreateTopicAsync("orders");
        var failure = await Assert.ThrowsAsync<ProduceException>(() => provider.GetRequiredService<IProducer<string, string>>()
            .SendAsync(new("orders", "customer-7", new string('x', 3000))).SoonAsync());
        Assert.Equal(ErrorCode.MessageTooLarge, failure.Code);
    }

    [Fact]
    public async Task Invalid_configured_option_fails_the_start_of_the_host()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker);
        builder.Services.Configure<OrleansMqClientOptions>(options => options.Producer = options.Producer with { BatchSize = 1 });
        using var host = builder.Build();
        var failure = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync().SoonAsync());
        Assert.Contains("ProducerOptions.BatchSize", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Producer_with_an_invalid_option_fails_at_its_registration() => Assert.Throws<ArgumentException>("MaxInFlight", () =>
        new ServiceCollection().AddOrleansMqClient().AddProducer<string, string>(new() { MaxInFlight = 9 }));

    [Fact]
    public void Handler_with_an_invalid_option_fails_at_its_registration()
    {
        var builder = new ServiceCollection().AddOrleansMqClient();
        Assert.Throws<ArgumentException>("Topics", () => builder.AddMessageHandler<string, Printer>(
            new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest }, new()));
        Assert.Throws<ArgumentException>("DrainTimeout", () => builder.AddMessageHandler<string, Printer>(
            new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest, DrainTimeout = TimeSpan.FromHours(1) },
            new() { Topics = ["orders"] }));
    }

    [Fact]
    public void Type_without_a_format_is_refused_at_registration()
    {
        var builder = new ServiceCollection().AddOrleansMqClient();
        Assert.Contains(nameof(Order), Assert.Throws<InvalidOperationException>(() => builder.AddProducer<string, Order>()).Message,
            StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => builder.AddMessageHandler<Order, OrderPrinter>(
            new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest }, new() { Topics = ["orders"] }));
    }

    [Fact]
    public async Task Json_context_serves_producers_and_handlers_without_a_serializer()
    {
        await _broker.Client.Admin.CreateTopicAsync("orders");
        var builder = Host.CreateApplicationBuilder();
        builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker).UseJson(OrderJson.Default).AddProducer<string, Order>()
            .AddMessageHandler<Order, OrderPrinter>(new() { GroupId = "printing", AutoOffsetReset = AutoOffsetReset.Earliest },
                new() { Topics = ["orders"] });
        using var host = builder.Build();
        await host.StartAsync().SoonAsync();
        await host.Services.GetRequiredService<IProducer<string, Order>>().SendAsync(new("orders", "key", new("customer-7"))).SoonAsync();
        var handler = host.Services.GetRequiredKeyedService<IHostedMessageHandler>(nameof(OrderPrinter));
        await Wait.UntilAsync(() => handler.Statistics.Handled == 1, "the order");
        await using var reader = _broker.Client.CreatePartitionReader<string, string>();
        reader.Assign(new TopicPartition("orders", 0), ReadFrom.Earliest);
        Assert.Equal("""{"Customer":"customer-7"}""", (await reader.ReadAsync().SoonAsync()).Value);
        await host.StopAsync().SoonAsync();
    }

    private static HostApplicationBuilder Configured(params (string Key, string Value)[] settings)
    {
        var builder = Host.CreateApplicationBuilder();
        foreach (var (key, value) in settings)
            builder.Configuration[key] = value;
        return builder;
    }

    [Fact]
    public void Configuration_section_sets_the_options_of_the_client()
    {
        var builder = Configured(("Mq:Producer:Linger", "00:00:00.005"), ("Mq:Producer:Compression", "Lz4"),
            ("Mq:Reader:PrefetchBytes", "65536"));
        builder.Services.AddOrleansMqClient(builder.Configuration.GetSection("Mq"));
        using var host = builder.Build();
        var options = host.Services.GetRequiredService<IOptions<OrleansMqClientOptions>>().Value;
        Assert.Equal(TimeSpan.FromMilliseconds(5), options.Producer.Linger);
        Assert.Equal(CompressionType.Lz4, options.Producer.Compression);
        Assert.Equal(65536, options.Reader.PrefetchBytes);
        Assert.Equal(new ProducerOptions().BatchSize, options.Producer.BatchSize);
    }

    [Fact]
    public async Task Configuration_section_sets_the_options_of_a_handler()
    {
        await _broker.Client.Admin.CreateTopicAsync("orders");
        var builder = Configured(("Billing:GroupId", "billing"), ("Billing:AutoOffsetReset", "Earliest"), ("Billing:Topics:0", "orders"),
            ("Billing:Parallelism", "Key"), ("Billing:Retry:MaxAttempts", "2"), ("Billing:Protocol", "Classic"),
            ("Billing:Assignors:0", "sticky"));
        builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker)
            .AddConfiguredMessageHandler<string, Printer>(builder.Configuration.GetSection("Billing"));
        using var host = builder.Build();
        await host.StartAsync().SoonAsync();
        var options = host.Services.GetRequiredService<IOptionsMonitor<MessageHandlerOptions>>().Get(nameof(Printer));
        Assert.Equal(("billing", AutoOffsetReset.Earliest), (options.Consumer.GroupId, options.Consumer.AutoOffsetReset));
        Assert.Equal(["sticky"], options.Consumer.Assignors);
        Assert.Equal((HandlingParallelism.Key, 2), (options.Handling.Parallelism, options.Handling.Retry.MaxAttempts));
        var handler = Assert.Single(host.Services.GetServices<IHostedMessageHandler>());
        await Wait.UntilAsync(() => handler.Assignment.Count == 1, "the assignment");
        await host.StopAsync().SoonAsync();
    }

    [Theory]
    [InlineData("Billing:GropuId", "billing", "'Billing:GropuId'")]
    [InlineData("Billing:Retry:MaxAttemps", "3", "MaxAttempts")]
    [InlineData("Billing:PartitionStopped", "x", "'Billing:PartitionStopped'")]
    [InlineData("Billing:DrainTimeout", "01:00:00", "Printer: ConsumerOptions.DrainTimeout")]
    [InlineData("Billing:AutoOffsetReset", "", "AutoOffsetReset")]
    public async Task Wrong_setting_fails_the_start_of_the_host_by_its_name(string key, string value, string expected)
    {
        var builder = Configured(("Billing:GroupId", "billing"), ("Billing:AutoOffsetReset", "Earliest"), ("Billing:Topics:0", "orders"),
            (key, value));
        builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker)
            .AddConfiguredMessageHandler<string, Printer>(builder.Configuration.GetSection("Billing"));
        using var host = builder.Build();
        var failure = await Assert.ThrowsAnyAsync<Exception>(() => host.StartAsync().SoonAsync());
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Missing_section_fails_the_start_of_the_host()
    {
        var builder = Configured();
        builder.Services.AddOrleansMqClient().UseHttp(builder.Configuration.GetSection("Mq:Http"));
        using var host = builder.Build();
        var failure = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync().SoonAsync());
        Assert.Contains("'Mq:Http'", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Configuration_section_names_the_addresses()
    {
        var builder = Configured(("Mq:Http:Addresses:0", "http://one:8080"), ("Mq:Http:Addresses:1", "http://two:8080"),
            ("Mq:Http:RequestTimeout", "00:00:03"));
        builder.Services.AddOrleansMqClient().UseHttp(builder.Configuration.GetSection("Mq:Http"));
        using var host = builder.Build();
        var broker = Assert.IsType<HttpBroker>(host.Services.GetRequiredService<OrleansMqClient>().Broker);
        Assert.Equal(new Uri("http://one:8080"), broker.BaseAddress);
    }

    [Fact]
    public async Task Consumer_is_new_for_each_service_and_reads_with_configured_options()
    {
        await _broker.Client.Admin.CreateTopicAsync("orders");
        var builder = Configured(("Audit:GroupId", "audit"), ("Audit:AutoOffsetReset", "Earliest"));
        builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker)
            .AddConfiguredConsumer<string, string>(builder.Configuration.GetSection("Audit"))
            .AddConsumer<Ignore, string>(new() { GroupId = "other", AutoOffsetReset = AutoOffsetReset.Latest });
        var host = builder.Build();
        await using var services = (ServiceProvider)host.Services;
        var consumer = services.GetRequiredService<IConsumer<string, string>>();
        Assert.NotSame(consumer, services.GetRequiredService<IConsumer<string, string>>());
        Assert.Equal("audit", consumer.GroupMetadata.GroupId);
        Assert.Equal("other", services.GetRequiredService<IConsumer<Ignore, string>>().GroupMetadata.GroupId);
    }

    [Fact]
    public async Task Stopped_partition_of_a_hosted_handler_is_seen_and_resumed()
    {
        await _broker.Client.Admin.CreateTopicAsync("orders");
        await using (var producer = _broker.Client.CreateProducer<string, string>())
            await producer.SendAsync(new("orders", "customer-7", "two apples"));
        var builder = Host.CreateApplicationBuilder();
        var isBroken = new StrongBox<bool>(true);
        builder.Services.AddSingleton(isBroken).AddOrleansMqClient().UseBroker(_broker.Broker).AddMessageHandler<string, Breakable>(
            new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest },
            new() { Topics = ["orders"], OnFailure = FailureAction.StopPartition, Retry = new() { MaxAttempts = 1 } });
        using var host = builder.Build();
        var handler = host.Services.GetRequiredKeyedService<IHostedMessageHandler>(nameof(Breakable));
        Assert.Throws<InvalidOperationException>(() => handler.Resume(new("orders", 0)));
        await host.StartAsync().SoonAsync();
        await Wait.UntilAsync(() => handler.Stopped.Count == 1, "the stop");
        Assert.Contains("broken", handler.Stopped[new("orders", 0)].Message, StringComparison.Ordinal);
        isBroken.Value = false;
        handler.Resume(new("orders", 0));
        await Wait.UntilAsync(() => handler.Statistics.Handled == 1, "the record");
        Assert.Empty(handler.Stopped);
        await host.StopAsync().SoonAsync();
    }

    [Fact]
    public void Second_handler_of_a_type_has_a_name_of_its_own()
    {
        var services = new ServiceCollection();
        var builder = services.AddOrleansMqClient().UseBroker(_broker.Broker);
        foreach (var group in (string[])["one", "two"])
            builder.AddMessageHandler<string, Printer>(new() { GroupId = group, AutoOffsetReset = AutoOffsetReset.Earliest },
                new() { Topics = ["orders"] });
        using var provider = services.BuildServiceProvider();
        Assert.Equal(["Printer", "Printer-2"], provider.GetServices<IHostedMessageHandler>().Select(handler => handler.Name));
    }

    internal sealed record Order(string Customer);

    internal sealed class Breakable(StrongBox<bool> isBroken) : IMessageHandler<string>
    {
        public ValueTask HandleAsync(ConsumeResult<Ignore, string> record, CancellationToken cancellationToken) =>
            isBroken.Value ? throw new InvalidOperationException("broken") : default;
    }

    internal sealed class Printer : IMessageHandler<string>
    {
        public ValueTask HandleAsync(ConsumeResult<Ignore, string> record, CancellationToken cancellationToken) => default;
    }

    internal sealed class OrderPrinter : IMessageHandler<Order>
    {
        public ValueTask HandleAsync(ConsumeResult<Ignore, Order> record, CancellationToken cancellationToken) => default;
    }

    [JsonSerializable(typeof(Order))]
    internal sealed partial class OrderJson : JsonSerializerContext;
}
