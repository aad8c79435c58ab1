using System.Net;
using Microsoft.AspNetCore.Routing;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Access;

/// <summary>Every endpoint of the HTTP API, by a client that may do nothing: none reaches the engine. The requests are the examples of
/// <c>openapi.json</c>, which has every endpoint (<see cref="Http.ApiTests"/>): a new one is tried without a change here.</summary>
public sealed class DeniedEndpointsTests : IAsyncLifetime
{
    // Answer with what the client may see: nothing.
    private static readonly string[] Filtered = ["GET /api/topics", "GET /api/groups", "GET /api/dead-letters",
        "GET /api/transactions"];

    private static readonly IReadOnlyList<DescribedEndpoint> Refused =
        [.. DescribedEndpoint.All.Where(static endpoint => !endpoint.IsOpen && !Filtered.Contains(endpoint.Route))];

    private readonly List<string> _calls = [];
    private readonly SwitchedAuthorizer _authorizer = new();
    private RunningBroker _broker = null!;

    public static TheoryData<string> Names => [.. Refused.Select(static endpoint => endpoint.Route)];

    public static TheoryData<string> Lists => [.. Filtered];

    public async Task InitializeAsync()
    {
        _broker = new RunningBroker { Authorizer = _authorizer, Engine = broker => CallRecorder.Of(broker, _calls) };
        await _broker.InitializeAsync();
        await DescribedEndpoint.PrepareAsync(_broker);
        _authorizer.Denies = true;
        _calls.Clear();
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public void Every_endpoint_is_tried() => Assert.Equal(
        _broker.Server.Routes.SelectMany(static route => route.Metadata.OfType<HttpMethodMetadata>().Single().HttpMethods
            .Select(method => $"{method} {route.RoutePattern.RawText}")).Order(StringComparer.Ordinal),
        DescribedEndpoint.All.Select(static endpoint => endpoint.Route).Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Denied_request_does_not_reach_the_engine(string route)
    {
        var endpoint = DescribedEndpoint.Of(route);
        using var response = await _broker.Http.SendAsync(endpoint.ToRequest());
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(endpoint.Status == (int)response.StatusCode, $"{response.StatusCode}: {text}");
        Assert.Contains($"\"{endpoint.Error}\"", text, StringComparison.Ordinal);
        Assert.Empty(_calls);
    }

    [Theory]
    [MemberData(nameof(Lists))]
    public async Task Denied_list_is_empty(string route) => Assert.Contains(await _broker.Http.GetStringAsync(route.Split(' ')[1]),
        (string[])["[]"]);

    [Theory]
    [InlineData("/healthz")]
    [InlineData("/readyz")]
    [InlineData("/metrics")]
    [InlineData("/openapi.json")]
    public async Task Open_endpoint_is_answered(string path)
    {
        using var response = await _broker.Http.GetAsync(path);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }
}
