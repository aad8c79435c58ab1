using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Hosting;

var builder = Host.CreateApplicationBuilder(args);
builder.Logging.AddFilter("Orleans", LogLevel.Warning);

// One silo on this machine. Several are a cluster in a PostgreSQL database: AddOrleansMq(options, new BrokerClusterOptions { PostgreSql = ... })
// in place of UseLocalhostClustering().
builder.UseOrleans(silo => silo
    .UseLocalhostClustering()
    .AddOrleansMq(options => options with { DataDirectory = "./data" })
    .AddKafka()     // 127.0.0.1:9092
    .AddHttp());    // http://127.0.0.1:8080

builder.Build().Run();
