using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OrleansMq.Samples.Shop.Worker;

var builder = Host.CreateApplicationBuilder(args);
builder.Services.AddSingleton<IBank, Bank>();
builder.UseOrleansClient(client => client
    .UseLocalhostClustering(builder.Configuration.GetValue("GatewayPort", 30000))
    .AddOrleansMqClient()
    .AddBilling());
builder.Build().Run();
