using System.Net;
using Npgsql;
using OrleansMq;
using OrleansMq.Grains.Hosting;
using OrleansMq.Samples.OrderFlow;

var builder = WebApplication.CreateBuilder(args);
builder.Logging.AddFilter("Orleans", LogLevel.Warning).AddFilter("Microsoft.AspNetCore", LogLevel.Warning)
    .AddFilter("Polly", LogLevel.Warning);
var settings = builder.Configuration;
var (siloPort, gatewayPort) = (settings.GetValue("SiloPort", 11111), settings.GetValue("GatewayPort", 30000));
var broker = new IPEndPoint(IPAddress.Loopback, settings.GetValue("BrokerPort", 8080));
var data = settings["Data"] ?? "./data";

builder.UseOrleans(silo =>
{
    if (settings["PostgreSql"] is { } database)
    {
        // One of several silos, which find each other in the database. It holds the grains' state, too.
        silo.AddOrleansMq(options => options with { BrokerId = new BrokerId(settings.GetValue("BrokerId", 1)), DataDirectory = data },
                new BrokerClusterOptions { PostgreSql = database, ClusterId = "order-flow", Http = $"http://{broker}" })
            .AddHttp(options => options with { Listen = broker });
        silo.ConfigureEndpoints(IPAddress.Loopback, siloPort, gatewayPort);
        // Few connections: a server allows a hundred in all, and the brokers have some of them.
        var state = new NpgsqlConnectionStringBuilder(database) { MaxPoolSize = 10, ApplicationName = "order-flow state" }.ConnectionString;
        silo.AddAdoNetGrainStorageAsDefault(options => (options.Invariant, options.ConnectionString) = ("Npgsql", state));
    }
    else
    {
        // One silo for a first look: what the grains know ends with the process.
        silo.UseLocalhostClustering(siloPort, gatewayPort)
            .AddMemoryGrainStorageAsDefault()
            .AddOrleansMq(options => options with { DataDirectory = data })
            .AddHttp(options => options with { Listen = broker })
            .AddOrleansMqClient().AddOrderTopics();
    }
    silo.AddOrderFlow(options => options with
    {
        WakeUpDelay = settings.GetValue("WakeUpDelay", options.WakeUpDelay),
        CleanUpDelay = settings.GetValue("CleanUpDelay", options.CleanUpDelay),
    });
});

var app = builder.Build();
// Each request may be repeated: the ids are the caller's.
app.MapPut("/accounts/{customer}", async (string customer, NewAccount account, IGrainFactory grains) =>
{
    await grains.GetGrain<IAccount>(customer).OpenAsync(account.Cents);
    return await grains.GetGrain<IAccount>(customer).GetAsync();
});
app.MapPut("/orders/{id}", (string id, NewOrder order, IGrainFactory grains) => grains.GetGrain<IOrder>(id).PlaceAsync(order));
app.MapGet("/accounts/{customer}", (string customer, IGrainFactory grains) => grains.GetGrain<IAccount>(customer).GetAsync());
app.MapGet("/orders/{id}", (string id, IGrainFactory grains) => grains.GetGrain<IOrder>(id).GetAsync());
app.MapGet("/statistics/{customer}", (string customer, IGrainFactory grains) => grains.GetGrain<IStatistics>(customer).GetAsync());
app.Run();

internal sealed record NewAccount(long Cents);
