using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Hosting;
using OrleansMq.Client;

var builder = Host.CreateApplicationBuilder(args);
builder.Logging.AddFilter("Orleans", LogLevel.Warning).AddFilter("Orleans.Runtime.Messaging", LogLevel.Error);

// The silo of this machine; `dotnet new omq-silo` makes one.
builder.UseOrleansClient(client => client
    .UseLocalhostClustering()
    .AddOrleansMqClient()
    .AddTopic(Shop.Topic, partitions: 3)
    .AddProducer<string, string>()
    .AddMessageHandler<string, string, Billing>(
        new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest },
        new() { Topics = [Shop.Topic], Parallelism = HandlingParallelism.Key }));

// After the client: the topic is there when it starts.
builder.Services.AddHostedService<Shop>();

builder.Build().Run();
