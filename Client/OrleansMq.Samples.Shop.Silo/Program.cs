using System.Net;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;

// One silo on this machine. For several, give AddOrleansMq() a PostgreSQL database instead.
var builder = Host.CreateApplicationBuilder(args);
var settings = builder.Configuration;
builder.UseOrleans(silo => silo
    .UseLocalhostClustering(settings.GetValue("SiloPort", 11111), settings.GetValue("GatewayPort", 30000))
    .AddOrleansMq(options => options with { DataDirectory = settings["Data"] ?? "./data" })
    // For the command line: omq topic list, omq group lag billing, omq dead-letter list.
    .AddHttp(options => options with { Listen = new(IPAddress.Loopback, settings.GetValue("HttpPort", 8080)) }));
builder.Build().Run();
