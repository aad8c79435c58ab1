namespace OrleansMq.Gateways.Http;

/// <summary>
/// <c>/openapi.json</c>: the description of this API. It is written by hand beside the endpoints, so that it says more than signatures do.
/// A test checks that its paths match the mapped routes.
/// </summary>
internal static class OpenApiEndpoint
{
    /// <summary>Maps the endpoint.</summary>
    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/openapi.json", async http =>
    {
        await using var document = Open();
        http.Response.ContentType = "application/json";
        http.Response.ContentLength = document.Length;
        await document.CopyToAsync(http.Response.Body, http.RequestAborted);
    });

    /// <summary>Opens the document.</summary>
    public static Stream Open() => typeof(OpenApiEndpoint).Assembly.GetManifestResourceStream("openapi.json")
        ?? throw new InvalidOperationException("openapi.json is not in the assembly: see OrleansMq.Gateways.Http.csproj.");
}
