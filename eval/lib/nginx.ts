/**
 * Configuration of an nginx that runs as a guest: in the foreground, with all that it writes in /tmp.
 * @param location directives of its only location
 */
export function nginxConf(port: number, location: string): string {
  return `daemon off;
pid /tmp/nginx.pid;
error_log stderr;
worker_processes 1;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path /tmp/nginx-body;
    proxy_temp_path /tmp/nginx-proxy;
    fastcgi_temp_path /tmp/nginx-fastcgi;
    uwsgi_temp_path /tmp/nginx-uwsgi;
    scgi_temp_path /tmp/nginx-scgi;
    server {
        listen ${port};
        location / { ${location} }
    }
}
`;
}
