using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans.Hosting;
using OrleansMq.Client;

var builder = Host.CreateApplicationBuilder(args);
builder.Services.AddHostedService<Shop>();

// The silo of this machine; `dotnet new omq-silo` makes one.
builder.UseOrleansClient(client => client
    .UseLocalhostClustering()
    .AddOrleansMqClient()
    .AddProducer<string, string>()
    .AddMessageHandler<string, string, Billing>(
        new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest },
        new() { Topics = [Shop.Topic], Parallelism = HandlingParallelism.Key }));

builder.Build().Run();
