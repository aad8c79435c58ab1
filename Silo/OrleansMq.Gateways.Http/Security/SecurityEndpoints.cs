using OrleansMq.Client;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Http.Security;

/// <summary><c>/api/users</c> and <c>/api/acls</c>: users with their passwords, and rules of access control.</summary>
internal static class SecurityEndpoints
{
    private const string Users = "/api/users";
    private const string Acls = "/api/acls";
    private const int MaxPasswordLength = 1_024;
    // Each is compared with every rule.
    private const int MaxFilters = 100;
    private const string PasswordExample = """{"password": "..."}""";
    private const string Question = """{"principal": "User:alice", "operation": "Read", "resourceType": "Topic", """;
    private const string RuleExample = """{"rules": [""" + Question + """ "resourceName": "orders"}]}""";
    private const string FilterExample = """{"filters": [{"principal": "User:alice"}]}""";
    private const string ExplainExample = Question + """ "resourceName": "orders"}""";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet(Users, http => ListUsersAsync(http, api.SecurityOf(http)));
        routes.MapPut(Users + "/{user}", http => SetPasswordAsync(http, api.SecurityOf(http)));
        routes.MapDelete(Users + "/{user}", http => DeleteUserAsync(http, api.SecurityOf(http)));
        routes.MapPost(Acls, http => CreateAsync(http, api.SecurityOf(http)));
        routes.MapPost(Acls + "/list", http => ListAsync(http, api.SecurityOf(http)));
        routes.MapPost(Acls + "/delete", http => DeleteAsync(http, api.SecurityOf(http)));
        routes.MapPost(Acls + "/explain", http => ExplainAsync(http, api.SecurityOf(http)));
    }

    private static async Task ListUsersAsync(HttpContext http, SessionSecurity security)
    {
        _ = new QueryValues(http);
        var users = await security.DescribeUsersAsync(null, http.RequestAborted);
        await JsonBodies.WriteAsync(http, [.. users.Select(UserBody.Of)], JsonBodies.SecurityAnswers.IReadOnlyListUserBody);
    }

    private static async Task SetPasswordAsync(HttpContext http, SessionSecurity security)
    {
        _ = new QueryValues(http);
        var body = await JsonBodies.RequireAsync(http, JsonBodies.Security.PasswordBody, PasswordExample);
        if (body.Password.Length is 0 or > MaxPasswordLength || body.Password.Any(char.IsControl))
            throw new RequestException($"The password has 1 to {MaxPasswordLength} characters, and no control characters.");
        // Before a credential is derived: that takes as long as the iterations say.
        if (body.Iterations is < ScramCredential.MinIterations or > ScramCredential.MaxIterations)
            throw new RequestException($"iterations is {body.Iterations}; allowed are {ScramCredential.MinIterations} to "
                + $"{ScramCredential.MaxIterations}.");
        await security.SetPasswordAsync(RouteValues.User(http), body.Password, body.Iterations, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task DeleteUserAsync(HttpContext http, SessionSecurity security)
    {
        _ = new QueryValues(http);
        await security.DeleteUserAsync(RouteValues.User(http), http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task CreateAsync(HttpContext http, SessionSecurity security)
    {
        _ = new QueryValues(http);
        var body = await JsonBodies.RequireAsync(http, JsonBodies.Security.CreateAclsBody, RuleExample);
        await security.CreateAclsAsync([.. JsonBodies.Present(body.Rules, "rules").Select(static rule => rule.ToRule())],
            http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task ListAsync(HttpContext http, SessionSecurity security)
    {
        var filters = await ReadFiltersAsync(http);
        await JsonBodies.WriteAsync(http, [.. filters.SelectMany(security.ListAcls).Distinct().Select(AclBody.Of)],
            JsonBodies.SecurityAnswers.IReadOnlyListAclBody);
    }

    private static async Task DeleteAsync(HttpContext http, SessionSecurity security)
    {
        var deleted = await security.DeleteAclsAsync(await ReadFiltersAsync(http), http.RequestAborted);
        await JsonBodies.WriteAsync(http, [.. deleted.SelectMany(static rules => rules).Distinct().Select(AclBody.Of)],
            JsonBodies.SecurityAnswers.IReadOnlyListAclBody);
    }

    private static async Task ExplainAsync(HttpContext http, SessionSecurity security)
    {
        _ = new QueryValues(http);
        var body = await JsonBodies.RequireAsync(http, JsonBodies.Security.ExplainBody, ExplainExample);
        if (AclRule.PrincipalFault(body.Principal) is { } fault)
            throw new RequestException(fault);
        var decision = security.Explain(body.Principal, body.Host, body.Operation, body.ResourceType, body.ResourceName);
        await JsonBodies.WriteAsync(http, ExplanationBody.Of(decision, security.Authorization),
            JsonBodies.SecurityAnswers.ExplanationBody);
    }

    private static async Task<AclFilter[]> ReadFiltersAsync(HttpContext http)
    {
        _ = new QueryValues(http);
        var body = await JsonBodies.RequireAsync(http, JsonBodies.Security.AclFiltersBody, FilterExample);
        if (body.Filters.Count > MaxFilters)
            throw new RequestException($"The request has {body.Filters.Count} filters; allowed are {MaxFilters}.");
        AclFilter[] filters = [.. JsonBodies.Present(body.Filters, "filters").Select(static filter => filter.ToFilter())];
        return filters.FirstOrDefault(static filter => filter.HasUnknown) is { } unknown
            ? throw new RequestException($"The filter has an unknown value: {unknown}.") : filters;
    }
}
