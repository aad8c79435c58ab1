using OrleansMq.Client;
using OrleansMq.Samples.Shop;
using OrleansMq.Samples.Shop.Web;

var builder = WebApplication.CreateBuilder(args);
builder.UseOrleansClient(client => client
    .UseLocalhostClustering(builder.Configuration.GetValue("GatewayPort", 30000))
    .AddOrleansMqClient()
    .UseJson(ShopJson.Default)
    .AddTopic(Topics.Orders, partitions: 3)
    .AddTopic(Topics.Invoices, partitions: 3, new Dictionary<string, string> { ["cleanup.policy"] = "compact" })
    .AddProducer<string, Order>());
builder.Services.AddSingleton<Invoices>();
builder.Services.AddHostedService(services => services.GetRequiredService<Invoices>());
builder.Services.AddHealthChecks().AddOrleansMq();

var app = builder.Build();
// Accepted when every in-sync replica has the order.
app.MapPost("/orders", async (NewOrder wanted, IProducer<string, Order> orders, CancellationToken cancellationToken) =>
{
    var order = new Order(Guid.NewGuid().ToString("N"), wanted.Customer, wanted.Item, wanted.Quantity);
    await orders.SendAsync(new(Topics.Orders, order.Customer, order), cancellationToken);
    return Results.Accepted($"/orders/{order.Id}", order);
});
app.MapGet("/orders/{id}", (string id, Invoices invoices) =>
    invoices.Find(id) is { } invoice ? Results.Ok(invoice) : Results.NotFound());
app.MapHealthChecks("/healthz");
app.Run();

internal sealed record NewOrder(string Customer, string Item, int Quantity);
