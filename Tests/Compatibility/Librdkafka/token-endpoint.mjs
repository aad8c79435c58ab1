// An issuer of JSON Web Tokens for librdkafka's tests of OAUTHBEARER, as those tests expect it: it grants a client's credentials or its
// signed assertion (RFC 7523), and answers as the metadata service of an Azure machine does. The tokens that it issues are real.
//
//   node token-endpoint.mjs DIRECTORY
//
// DIRECTORY gets keys.json, the issuer's public keys; client.key, the private key with which the client signs assertions; and
// client-encrypted.key, the same with a password. Standard output gets the port, once it listens.
//
//   POST /retrieve             a token that is good for a minute
//   POST /retrieve/badformat   a token whose signature is wrong
//   POST /retrieve/expire      a token that has expired
//   GET  /retrieve?...         a token, for the parameters of a metadata service
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const directory = process.argv[2];
const issuer = 'omq-tests', audience = 'omq-brokers', keyId = 'tests';
const client = { id: '123', secret: 'abc', password: 'secret', scope: 'test' };
const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

const own = generateKeyPairSync('rsa', { modulusLength: 2048 });
const theirs = generateKeyPairSync('rsa', { modulusLength: 2048 });
const file = (name, text) => writeFileSync(join(directory, name), text, { mode: 0o600 });
file('keys.json', JSON.stringify({ keys: [{ ...own.publicKey.export({ format: 'jwk' }), kid: keyId, use: 'sig', alg: 'RS256' }] }));
file('client.key', theirs.privateKey.export({ type: 'pkcs8', format: 'pem' }));
file('client-encrypted.key', theirs.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: client.password }));

class Refusal extends Error {}
const refuse = reason => { throw new Refusal(reason); };
const encode = value => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = text => JSON.parse(Buffer.from(text, 'base64url').toString());

function token(seconds, subject = 'client') {
    const now = Math.floor(Date.now() / 1000);
    const content = `${encode({ alg: 'RS256', kid: keyId })}.${encode({ iss: issuer, aud: audience, sub: subject, client_id: subject,
        iat: now, exp: now + seconds })}`;
    return `${content}.${sign('sha256', Buffer.from(content), own.privateKey).toString('base64url')}`;
}

// The subject of an assertion that the client has signed.
function subjectOf(assertion) {
    const [header, claims, signature] = assertion?.split('.') ?? refuse('assertion is missing');
    if (decode(header).alg !== 'RS256') refuse('the assertion is to be signed with RS256');
    if (!verify('sha256', Buffer.from(`${header}.${claims}`), theirs.publicKey, Buffer.from(signature ?? '', 'base64url')))
        refuse('the signature of the assertion is wrong');
    return decode(claims).sub || refuse('the assertion has no subject');
}

function granted(request, form) {
    if (form.has('scope') && form.get('scope') !== client.scope) refuse(`the scope ${form.get('scope')} is unknown`);
    if (form.get('grant_type') === jwtBearer) return token(60, subjectOf(form.get('assertion')));
    if (form.get('grant_type') !== 'client_credentials') refuse('grant_type is to be client_credentials or that of an assertion');
    const credentials = Buffer.from(`${client.id}:${client.secret}`).toString('base64');
    if (request.headers.authorization !== `Basic ${credentials}`) refuse('the credentials of the client are wrong');
    return token(60);
}

function fromMetadata(request, query) {
    for (const name of ['client_id', 'resource', 'api-version'])
        if (!query.has(name)) refuse(`${name} is missing`);
    if (request.headers.metadata?.toLowerCase() !== 'true') refuse('the header Metadata is to be true');
    return token(60);
}

const withWrongSignature = good => good.slice(0, -8) + (good.endsWith('AAAAAAAA') ? 'BBBBBBBB' : 'AAAAAAAA');

function answer(request, body) {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    switch (`${request.method} ${pathname}`) {
        case 'POST /retrieve': return granted(request, new URLSearchParams(body));
        case 'POST /retrieve/badformat': return withWrongSignature(token(60));
        case 'POST /retrieve/expire': return token(-1);
        case 'GET /retrieve': return fromMetadata(request, searchParams);
        default: return refuse(`there is no ${request.method} ${pathname}`);
    }
}

const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    try {
        const text = JSON.stringify({ access_token: answer(request, body), token_type: 'Bearer' });
        response.writeHead(200, { 'Content-Type': 'application/json' }).end(text);
    } catch (error) {
        if (!(error instanceof Refusal || error instanceof SyntaxError)) throw error;
        response.writeHead(400, { 'Content-Type': 'application/json' })
            .end(JSON.stringify({ error: 'invalid_request', error_description: error.message }));
    }
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
